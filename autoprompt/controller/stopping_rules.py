"""The stopping rules that `search.stopping` may name."""

from autoprompt.config import SearchConfig
from autoprompt.controller.asha_scheduler import AshaByKind
from autoprompt.controller.stopping_rule import Ladder, MakeRule, NoStopping, StoppingRule
from autoprompt.search_spaces.errors import ConfigError
from autoprompt.search_spaces.registry import Registry

STOPPING_RULES: Registry[MakeRule] = Registry(
    "stopping rule", {"asha": AshaByKind, "none": NoStopping}
)


def stopping_rule(config: SearchConfig) -> StoppingRule:
    """The rule that a configuration names, over its own ladder.

    Raises:
        ConfigError: there is none of that name, or it could not be made.
    """
    spec = config.search
    where = f"{config.source}: search.stopping"
    try:
        return STOPPING_RULES[spec.stopping](
            Ladder(config.space.kinds, spec.rungs, spec.reduction_factor)
        )
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    except Exception as error:  # a user's code may raise anything
        raise ConfigError(
            f"{where}: {spec.stopping} could not be made: {type(error).__name__}: {error}"
        ) from error

"""The stopping rules that `search.stopping` may name."""

from collections.abc import Sequence

from autoprompt.config import SearchConfig
from autoprompt.controller.asha_scheduler import AshaByKind
from autoprompt.controller.paired_rule import PairedRule
from autoprompt.controller.stopping_rule import Ladder, MakeRule, NoStopping, StoppingRule
from autoprompt.preparation.validation_blocks import validation_blocks
from autoprompt.search_spaces.errors import ConfigError
from autoprompt.search_spaces.registry import Registry
from autoprompt.statistics.paired_test import PairedTest
from autoprompt.workers.answers import answers_of
from autoprompt.workers.metrics import METRICS

STOPPING_RULES: Registry[MakeRule] = Registry(
    "stopping rule", {"asha": AshaByKind, "none": NoStopping}, group="autoprompt.stopping_rules"
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


def rule_over(config: SearchConfig, labels: Sequence[int]) -> StoppingRule:
    """The same for a search with B validation texts: one that ranks trials asks a paired test,
    where a part of the texts judges a rung.

    Args:
        labels: [B].
    """
    rule, blocks = stopping_rule(config), validation_blocks(config, labels)
    if not rule.ranks or not blocks.sizes:
        return rule
    answers = answers_of(config.task)
    ordered = answers.right(labels)[list(blocks.order)]
    metric = METRICS[config.task.metric]
    test = PairedTest(ordered, metric, answers.decided, answers.unpacked)
    return PairedRule(rule, blocks, test)

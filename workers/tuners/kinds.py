"""The kinds of prompts, and the tuner that finds each.

A tuner is given a plan, a scorer, the examples and the fractions of the plan's budget at which its
rungs are; it is a generator that asks for gradients and for judgement (see `progress.py`).
"""

from collections.abc import Callable, Iterable

from autoprompt.search_spaces.errors import ConfigError
from autoprompt.search_spaces.registry import Registry
from autoprompt.workers.tuners.hard import tune_hard
from autoprompt.workers.tuners.kv import tune_kv
from autoprompt.workers.tuners.mixed import tune_mixed
from autoprompt.workers.tuners.progress import Tuner
from autoprompt.workers.tuners.soft import tune_soft

#: By the `kind` of the plans that each carries out, or the `tuner` that a plan names.
TUNERS: Registry[Callable[..., Tuner]] = Registry(
    "tuner",
    {"soft": tune_soft, "hard": tune_hard, "mixed": tune_mixed, "kv": tune_kv},
    group="autoprompt.tuners",
)


def demand_tuners(names: Iterable[str], source: str) -> None:
    """See that the tuners that a space names are there.

    Raises:
        ConfigError: one is not.
    """
    for name in names:
        try:
            TUNERS[name]
        except ConfigError as error:
            raise ConfigError(f"{source}: space: tuner: {error}") from error

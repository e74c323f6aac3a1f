"""The kinds of prompts, and the tuner that finds each.

A tuner is given a plan, a scorer, the examples and the fractions of the plan's budget at which its
rungs are; it is a generator that asks for gradients and for judgement (see `progress.py`).
"""

from collections.abc import Callable

from autoprompt.search_spaces.registry import Registry
from autoprompt.workers.tuners.hard import tune_hard
from autoprompt.workers.tuners.kv import tune_kv
from autoprompt.workers.tuners.mixed import tune_mixed
from autoprompt.workers.tuners.progress import Tuner
from autoprompt.workers.tuners.soft import tune_soft

#: By the `kind` of the plans that each carries out.
TUNERS: Registry[Callable[..., Tuner]] = Registry(
    "kind of prompt",
    {"soft": tune_soft, "hard": tune_hard, "mixed": tune_mixed, "kv": tune_kv},
)

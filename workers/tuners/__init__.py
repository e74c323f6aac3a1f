"""Tuners: each is an iterator of `Progress`, one for every rung of its trial."""

from collections.abc import Iterator, Sequence

from search_spaces import HardPlan, SoftPlan
from workers.scoring import Scorer
from workers.tuners.examples import Examples
from workers.tuners.hard import tune_hard
from workers.tuners.progress import Progress, TrialDivergedError
from workers.tuners.soft import tune_soft

__all__ = ["Examples", "Progress", "TrialDivergedError", "tune"]


def tune(
    plan: SoftPlan | HardPlan, scorer: Scorer, examples: Examples, fractions: Sequence[float]
) -> Iterator[Progress]:
    """Carry out one plan, reporting at each rung.

    Args:
        fractions: the rungs, each as a part of the plan's budget, rising to 1.

    Raises:
        TrialDivergedError: the loss stopped being a number.
    """
    if isinstance(plan, SoftPlan):
        return tune_soft(plan, scorer, examples, fractions)
    return tune_hard(plan, scorer, examples, fractions)

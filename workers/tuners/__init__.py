"""Tuners: each is an iterator of `Progress`, one for every rung of its trial."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from search_spaces import AnyPlan
from workers.scoring import Scorer
from workers.tuners.examples import Examples
from workers.tuners.hard import tune_hard
from workers.tuners.mixed import tune_mixed
from workers.tuners.progress import Progress, TrialDivergedError
from workers.tuners.soft import tune_soft

__all__ = ["Examples", "Progress", "TrialDivergedError", "tune"]

_TUNERS: dict[str, Callable[..., Iterator[Progress]]] = {
    "soft": tune_soft,
    "hard": tune_hard,
    "mixed": tune_mixed,
}


def tune(
    plan: AnyPlan,
    scorer: Scorer,
    examples: Examples,
    fractions: Sequence[float],
    patience: int | None = None,
) -> Iterator[Progress]:
    """Carry out one plan, reporting at each rung.

    Args:
        fractions: the rungs, each as a part of the plan's budget, rising to 1.
        patience: end after so many rungs without a better score; None runs to the end.

    Raises:
        TrialDivergedError: the loss stopped being a number.
    """
    best, waited = -1.0, 0
    for progress in _TUNERS[plan.kind](plan, scorer, examples, fractions):
        waited = 0 if progress.score > best else waited + 1
        best = max(best, progress.score)
        out_of_patience = patience is not None and waited >= patience
        yield replace(progress, ended=out_of_patience or progress.step == plan.budget)
        if out_of_patience:
            return

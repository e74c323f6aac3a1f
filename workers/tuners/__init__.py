"""Tuners: each asks for gradients, and makes `Progress`, one for every rung of its trial."""

from collections.abc import Iterator, Sequence

from autoprompt.search_spaces import AnyPlan
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners.examples import Examples
from autoprompt.workers.tuners.pack import Pack, Told
from autoprompt.workers.tuners.packs import Packs, Seat
from autoprompt.workers.tuners.progress import Progress, TrialDivergedError

__all__ = ["Examples", "Pack", "Packs", "Progress", "Seat", "Told", "TrialDivergedError", "tune"]


def tune(
    plan: AnyPlan,
    scorer: Scorer,
    examples: Examples,
    fractions: Sequence[float],
    patience: int | None = None,
) -> Iterator[Progress]:
    """Carry out one plan by itself, reporting at each rung.

    Args:
        fractions, patience: as `Pack` has them.

    Raises:
        TrialDivergedError: the loss stopped being a number.
    """
    pack = Pack({0: plan}, scorer, examples, fractions, patience)
    while pack.numbers:
        for outcome in pack.advance():
            if isinstance(outcome.outcome, Exception):
                raise outcome.outcome
            yield outcome.outcome

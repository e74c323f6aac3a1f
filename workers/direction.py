"""Which way a score is better, and what that means for the numbers that are kept and shown."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Direction:
    """A score as its metric defines it is *natural*: accuracy 0.9, log loss 0.4. People are shown
    that. *Oriented*, it is the same number with the sign by which more is better: 0.9, -0.4. The
    store keeps that, and ASHA, TPE and leaderboards compare it, whatever the metric is.
    """

    greater_is_better: bool = True

    def oriented(self, natural: float) -> float:
        return natural if self.greater_is_better else -natural

    def natural(self, oriented: float) -> float:
        return oriented if self.greater_is_better else -oriented

    def best(self, natural: Iterable[float]) -> float:
        """The best of some natural scores."""
        return max(natural, key=self.oriented)


UP, DOWN = Direction(True), Direction(False)

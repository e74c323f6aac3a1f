"""Whether one prompt is clearly worse than another on the same texts, from their predictions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from autoprompt.statistics.significance import SIGNIFICANT, paired_p
from autoprompt.workers.metrics import Decision, Metric
from autoprompt.workers.vote import Floats

#: Resamplings of the texts, of a metric that McNemar's test does not hold for.
_DRAWS = 400


@dataclass(frozen=True)
class PairedTest:
    """A test of two prompts on the first texts of an order.

    Attributes:
        labels: [B] or [B, L], what is right, in that order.
        decided: what the answers' log-probabilities decide.
        unpacked: predictions [B, L] from what a report has of them.
    """

    labels: NDArray[Any]
    metric: Metric
    decided: Decision
    unpacked: Callable[[bytes], Floats]

    def clearly_worse(self, worse: bytes, better: bytes) -> bool:
        """Whether the first of two predictions is behind the second by more than chance (5%, one
        side)."""
        first, second = (
            self.metric.predictions(self.unpacked(content), self.decided)
            for content in (worse, better)
        )
        expected = self.labels[: len(first)]
        scores = (self.metric.score(expected, predicted) for predicted in (first, second))
        behind, ahead = map(self.metric.direction.oriented, scores)
        if behind >= ahead:
            return False
        p, _ = paired_p(self.metric, expected, first, second, draws=_DRAWS)
        return p < 2 * SIGNIFICANT

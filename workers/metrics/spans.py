"""Metrics of spans: right ones and predicted ones, each an object array [B] of tuples of (start,
end, label), in characters, the end exclusive."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoprompt.workers.metric_functions import Floats, f1
from autoprompt.workers.metrics.summed import Summed


class EntityF1(Summed):
    """F1 of all texts' entities together, one being right where its start, its end and its label
    are; seqeval's `f1_score`.

    A span that stands twice in a text counts once.
    """

    def parts(self, expected: NDArray[Any], predicted: NDArray[Any]) -> Floats:
        """[B, 3]: entities that are predicted and right, are predicted, are right."""
        pairs = [(set(own), set(said)) for own, said in zip(expected, predicted, strict=True)]
        counts = [(len(own & said), len(said), len(own)) for own, said in pairs]
        return np.array(counts, dtype=np.float64)

    def of_sums(self, sums: Floats) -> Floats:
        return f1(sums[..., 0], sums[..., 1], sums[..., 2])

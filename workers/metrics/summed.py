"""Scores that are formulas of sums over texts, as a micro F1 and BLEU are."""

from abc import ABC, abstractmethod
from typing import Any

from numpy.typing import NDArray

from autoprompt.workers.metric_functions import Floats


class Summed(ABC):
    """A metric's function whose texts can be drawn again without reading them again: what is slow,
    `parts`, is done once a text, and a draw is a sum. **S** is how many numbers are summed.
    """

    @abstractmethod
    def parts(self, expected: NDArray[Any], predicted: NDArray[Any]) -> Floats:
        """[B, S], what each of B texts adds."""

    @abstractmethod
    def of_sums(self, sums: Floats) -> Floats:
        """The scores of sums over texts, [..., S] to [...]."""

    def __call__(self, expected: NDArray[Any], predicted: NDArray[Any]) -> Floats:
        """The score of B texts."""
        return self.of_sums(self.parts(expected, predicted).sum(axis=0))

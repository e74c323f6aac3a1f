"""Answers of which exactly one is right: labels, or a row's options."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from autoprompt.workers.answers.answers import Answers, Right
from autoprompt.workers.rows import Text
from autoprompt.workers.vote import Floats, Vote, cast_votes, mean_probabilities, predictions


class Categorical(Answers):
    """One of `names`; a vote is a head count, a tie goes to the larger summed log-probability."""

    categorical: ClassVar[bool] = True
    metric: ClassVar[str] = "accuracy"
    needs: ClassVar[frozenset[str]] = frozenset({"labels", "probabilities"})
    votes: ClassVar[tuple[Vote, ...]] = ("majority", "weighted", "mean", "stacked")

    @property
    def strata(self) -> Sequence[str]:
        return self.names

    def stratum(self, right: Right) -> str | None:
        return self.names[int(right)]

    def right(self, rights: Sequence[Right]) -> NDArray[Any]:
        """[B], places in `names`."""
        return np.array(rights, dtype=np.intp)

    def told(self, decision: Any, text: Text | None = None) -> Any:
        return self.names[int(decision)]

    def decided(self, said: Floats) -> NDArray[np.intp]:
        """The most probable one."""
        return predictions(said)

    def voted(self, said: Floats, weights: Sequence[float] | None = None) -> NDArray[Any]:
        return cast_votes(said, weights)

    def mixed(self, said: Floats, weights: Sequence[float] | None = None) -> Floats:
        """The weighted mean of their probabilities."""
        return mean_probabilities(said, weights)

    def probability(self, mixed: Floats, decisions: NDArray[Any]) -> Floats:
        return np.take_along_axis(mixed, decisions[:, None], axis=1)[:, 0]

    def tensor(self, decisions: NDArray[Any]) -> NDArray[Any]:
        return decisions.astype(np.int32)

    def from_tensor(self, stored: NDArray[Any]) -> NDArray[Any]:
        return stored.astype(np.intp)

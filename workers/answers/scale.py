"""A scale: label words on it, and as the value their expectation (as G-Eval scores, Liu et al.
2023). A label's name is its number: `label_words: {1: terrible, 3: okay, 5: great}`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from autoprompt.search_spaces.errors import ConfigError
from autoprompt.workers.answers.answers import Readout, Right
from autoprompt.workers.answers.label_words import LabelWords
from autoprompt.workers.rows import Text
from autoprompt.workers.vote import Floats, Vote, mean_probabilities
from autoprompt.workers.wording import Wording

if TYPE_CHECKING:
    from autoprompt.workers.model_config import Family
    from autoprompt.workers.question import Question

#: Decisions this near are one: half of the smallest step of most scales' labels.
_NEAR = 0.5


class Scale(LabelWords):
    """A number between the first and the last of L steps; members vote by the median of theirs, the
    weights counted, or by their mean where the vote is weighted."""

    categorical: ClassVar[bool] = False
    template: ClassVar[str] = "{text}\nRating:"
    metric: ClassVar[str] = "mae"
    needs: ClassVar[frozenset[str]] = frozenset({"values"})
    votes: ClassVar[tuple[Vote, ...]] = ("majority", "weighted", "mean")

    def __init__(self, wording: Wording) -> None:
        super().__init__(wording)
        try:
            self.steps = np.array([float(name) for name in self.names])
        except ValueError:
            raise ConfigError(
                "task.label_words: on a scale each label is a number, as in {1: terrible, 3: okay, "
                f"5: great}}; these are {', '.join(self.names)}"
            ) from None
        if (np.diff(self.steps) <= 0).any() or not np.isfinite(self.steps).all():
            raise ConfigError("task.label_words: the numbers of a scale rise from first to last")

    def seated(self, question: "Question", family: "Family") -> Readout:
        # Imported here, with torch, as in `LabelWords`.
        from autoprompt.workers.answers.scale_readout import ScaleReadout
        from autoprompt.workers.answers.word_readout import WordReadout

        words = super().seated(question, family)
        assert isinstance(words, WordReadout)
        return ScaleReadout(words, self.steps)

    def read(self, cell: Any, text: Text) -> Right:
        """The number.

        Raises:
            ValueError: it is none, or off the scale.
        """
        try:
            value = float(cell)
        except (TypeError, ValueError):
            raise ValueError("is no number") from None
        if not self.steps[0] <= value <= self.steps[-1]:
            raise ValueError(
                f"is off the scale of task.label_words, {self.steps[0]:g} to {self.steps[-1]:g}"
            )
        return value

    @property
    def strata(self) -> Sequence[str]:
        """None that must be there: a number may be far from some steps."""
        return ()

    def stratum(self, right: Right) -> str | None:
        """The nearest step."""
        return self.names[self.nearest(float(right))]

    def nearest(self, value: float) -> int:
        """The place of the step that is nearest to a number."""
        return int(np.abs(self.steps - value).argmin())

    def right(self, rights: Sequence[Right]) -> NDArray[Any]:
        """[B] floats."""
        return np.array(rights, dtype=np.float64)

    def spoken(self, right: Right, text: Text | None = None) -> str:
        """The word of the nearest step."""
        return self.wording.label_words[self.names[self.nearest(float(right))]][0]

    def told(self, decision: Any, text: Text | None = None) -> Any:
        return float(decision)

    def written(self, decision: Any) -> str:
        return f"{float(decision):.2f}"

    def decided(self, said: Floats) -> NDArray[Any]:
        """[..., B], the expectation of the steps."""
        return np.exp(said, dtype=np.float64) @ self.steps

    def voted(self, said: Floats, weights: Sequence[float] | None = None) -> NDArray[Any]:
        """[B], the members' median, each counted by its weight."""
        values = self.decided(said)
        heads = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=float)
        order = np.argsort(values, axis=0, kind="stable")
        ranked = np.take_along_axis(values, order, axis=0)
        passed = np.cumsum(heads[order], axis=0) / heads.sum()
        # The mean of the two in the middle, where half of the weight lies on either side.
        first = np.argmax(passed >= 0.5 - 1e-9, axis=0)[None]
        second = np.argmax(passed > 0.5 + 1e-9, axis=0)[None]
        low, high = (np.take_along_axis(ranked, at, axis=0)[0] for at in (first, second))
        return np.asarray((low + high) / 2)

    def probability(self, mixed: Floats, decisions: NDArray[Any]) -> Floats:
        return np.full(len(decisions), np.nan)

    def mixed(self, said: Floats, weights: Sequence[float] | None = None) -> Floats:
        return mean_probabilities(said, weights)

    def tensor(self, decisions: NDArray[Any]) -> NDArray[Any]:
        return decisions.astype(np.float64)

    def from_tensor(self, stored: NDArray[Any]) -> NDArray[Any]:
        return stored

    def same(self, one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether two numbers are nearer than half of the smallest step."""
        return np.abs(one - other) < _NEAR * np.diff(self.steps).min()

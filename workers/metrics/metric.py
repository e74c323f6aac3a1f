"""A metric: what predictions are judged by."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from autoprompt.search_spaces.errors import ConfigError
from autoprompt.workers.direction import Direction
from autoprompt.workers.metric_functions import Floats, Labels
from autoprompt.workers.metrics.summed import Summed

#: What is predicted of B texts, and in the terms of which right answers are told: labels [B];
#: probabilities of all labels [B, L], and right labels [B]; numbers [B]; which of several labels
#: apply, 0 and 1, [B, L]; texts [B], and tuples of acceptable ones [B]; spans, as tuples of (start,
#: end, label), in characters, [B].
Needs = Literal["labels", "probabilities", "values", "sets", "texts", "spans"]

#: From what is said of texts, [..., B, A], to the answer to each text.
Decision = Callable[[NDArray[Any]], NDArray[Any]]


def _most(log_probs: NDArray[Any]) -> NDArray[Any]:
    return np.argmax(log_probs, axis=-1)


#: A user's own: from right answers and predictions to a number.
Function = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Metric:
    """A number that says how good predictions are.

    Attributes:
        name: what configurations call it.
        function: from the right answers to B texts and what is predicted to one number; where
            `vectorised`, of many rows of B texts to a number for each. Where it is `Summed`, texts
            are resampled by their sums.
        greater_is_better: else less is.
        mean_over_examples: whether it is the mean of each text's own: of a metric of labels, of 1
            where the label is right and 0 where it is wrong.
        needs: what is predicted.
        every_label: whether it says little of texts that lack one of the labels.
        gaps: of a metric that is the sum of the sizes of means, which chance makes larger: these
            means, from what it takes to [..., M].
        right_or_wrong: whether a text's own is 1 or 0, as it always is of labels.
    """

    name: str
    function: Function
    greater_is_better: bool = True
    mean_over_examples: bool = False
    needs: Needs = "labels"
    every_label: bool = False
    vectorised: bool = False
    right_or_wrong: bool = False
    gaps: Function | None = None

    def __post_init__(self) -> None:
        """Refuse what a misspelling would make of a user's own.

        Raises:
            ConfigError: it needs something else than there is.
        """
        *others, last = get_args(Needs)
        if self.needs not in (*others, last):
            raise ConfigError(
                f"metric {self.name}: needs is {self.needs!r}; it is {', '.join(others)} or {last}"
            )

    def __call__(self, expected: NDArray[Any], predicted: NDArray[Any]) -> float:
        """As `score`."""
        return self.score(expected, predicted)

    def score(self, expected: NDArray[Any], predicted: NDArray[Any]) -> float:
        """Of B texts."""
        return float(self.function(expected, predicted))

    def scores(self, expected: NDArray[Any], predicted: NDArray[Any]) -> Floats:
        """Of many rows of B texts: [..., B] to [...]. No number where a user's own function raises:
        a row may be resampled texts, and lack a label."""
        if self.vectorised:
            return np.asarray(self.function(expected, predicted), dtype=np.float64)
        shape = expected.shape[: -2 if self.needs == "sets" else -1]
        rows = [self._try(expected[row], predicted[row]) for row in np.ndindex(shape)]
        return np.reshape(np.array(rows, dtype=np.float64), shape)

    def _try(self, expected: NDArray[Any], predicted: NDArray[Any]) -> float:
        try:
            return self.score(expected, predicted)
        except Exception:  # a user's function may raise anything
            return math.nan

    def each(self, expected: NDArray[Any], predicted: NDArray[Any]) -> Floats:
        """[B], the score of each of B texts by itself."""
        return self.scores(expected[:, None], predicted[:, None])

    def resampler(
        self, expected: NDArray[Any], predicted: NDArray[Any]
    ) -> Callable[[Labels], Floats]:
        """What scores draws from B texts: from the places that were drawn, [R, B], to [R]. What can
        be computed once a text is."""
        if isinstance(self.function, Summed):
            parts, of_sums = self.function.parts(expected, predicted), self.function.of_sums
            return lambda places: of_sums(parts[places].sum(axis=-2))
        if self.mean_over_examples:
            each = self.each(expected, predicted)
            return lambda places: each[places].mean(axis=-1)
        return lambda places: self.scores(expected[places], predicted[places])

    @cached_property
    def direction(self) -> Direction:
        return Direction(self.greater_is_better)

    @property
    def counts_right(self) -> bool:
        """Whether it is a part of the texts, those that are right: then Wilson's interval and
        McNemar's test hold. For any other metric, texts are resampled."""
        return self.mean_over_examples and (self.needs == "labels" or self.right_or_wrong)

    def right(self, expected: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.bool_]:
        """[B], whether the answer to a text is right, of a metric that counts them."""
        return self.each(expected, predicted) > 0.5

    def predictions(self, log_probs: NDArray[Any], decided: Decision = _most) -> NDArray[Any]:
        """What is judged of the answers' log-probabilities [..., B, A]: what is decided of each
        text, [..., B], the most probable answer unless the kind of answers decides otherwise; or
        the probabilities of all."""
        if self.needs == "probabilities":
            return np.exp(log_probs, dtype=np.float64)
        return decided(log_probs)

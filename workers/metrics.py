"""Metrics: what predictions are judged by. A new one is an entry of `METRICS`, or a user's own."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoprompt.search_spaces.registry import Registry
from autoprompt.workers import metric_functions as functions
from autoprompt.workers.metric_functions import Floats, Labels

#: A user's own: from right labels [B] and predictions to a number.
Function = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Metric:
    """A number that says how good predictions are.

    Attributes:
        name: what configurations call it.
        function: from the right labels [B] and the predicted ones [B] to one number; where
            `vectorised`, from [..., B] to [...].
        mean_over_examples: whether it is the mean over texts of 1 where the label is right and 0
            where it is wrong. Then Wilson's interval and McNemar's test hold; for any other metric,
            texts are resampled.
        every_label: whether it says little of texts that lack one of the labels.
    """

    name: str
    function: Function
    mean_over_examples: bool = False
    every_label: bool = False
    vectorised: bool = False

    def __call__(self, expected: Labels, predicted: NDArray[Any]) -> float:
        """As `score`."""
        return self.score(expected, predicted)

    def score(self, expected: Labels, predicted: NDArray[Any]) -> float:
        """Of B texts."""
        return float(self.function(expected, predicted))

    def scores(self, expected: Labels, predicted: NDArray[Any]) -> Floats:
        """Of many rows of B texts: [..., B] to [...]."""
        if self.vectorised:
            return np.asarray(self.function(expected, predicted), dtype=np.float64)
        shape = expected.shape[:-1]
        rows = [self.score(expected[row], predicted[row]) for row in np.ndindex(shape)]
        return np.reshape(np.array(rows, dtype=np.float64), shape)

    def right(self, expected: Labels, predicted: NDArray[Any]) -> NDArray[np.bool_]:
        """[B], whether the label of a text is right, where this is a mean over examples."""
        return self.scores(expected[:, None], predicted[:, None]) > 0.5

    def predictions(self, log_probs: NDArray[Any]) -> NDArray[Any]:
        """What is judged of the labels' log-probabilities [..., B, L]: the most probable label of
        each text, [..., B]."""
        return np.argmax(log_probs, axis=-1)


class _Metrics(Registry[Metric]):
    """Metrics by name, and a user's own: a `Metric`, or a plain function that says its facts by
    attributes of the same names."""

    def __getitem__(self, reference: str) -> Metric:
        entry: Any = super().__getitem__(reference)
        if isinstance(entry, Metric):
            return replace(entry, name=reference)
        facts = {fact: getattr(entry, fact) for fact in _FACTS if hasattr(entry, fact)}
        return Metric(reference, entry, **facts)


_FACTS = [field.name for field in fields(Metric) if field.name not in ("name", "function")]


def _metric(name: str, function: Function, **facts: Any) -> Metric:
    return Metric(name, function, vectorised=True, **facts)


METRICS = _Metrics(
    "metric",
    {
        metric.name: metric
        for metric in (
            _metric("accuracy", functions.accuracy, mean_over_examples=True),
            _metric("balanced_accuracy", functions.balanced_accuracy, every_label=True),
            _metric("macro_f1", functions.macro_f1, every_label=True),
            _metric("micro_f1", functions.micro_f1, mean_over_examples=True),
            _metric("mcc", functions.mcc),
        )
    },
)

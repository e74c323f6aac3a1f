"""Metrics: what predictions are judged by. A new one is an entry of `METRICS`, or a user's own."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from autoprompt.search_spaces.errors import ConfigError
from autoprompt.search_spaces.registry import Registry
from autoprompt.workers import metric_functions as functions
from autoprompt.workers.direction import Direction
from autoprompt.workers.metric_functions import Floats, Labels

Needs = Literal["labels", "probabilities"]

#: From log-probabilities [..., B, A] to the index of an answer for each text, [..., B].
Decision = Callable[[NDArray[Any]], NDArray[Any]]


def _most(log_probs: NDArray[Any]) -> NDArray[Any]:
    return np.argmax(log_probs, axis=-1)


#: A user's own: from right labels [B] and predictions to a number.
Function = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Metric:
    """A number that says how good predictions are.

    Attributes:
        name: what configurations call it.
        function: from the right labels [B] and what is predicted to one number; where `vectorised`,
            from [..., B] to [...].
        greater_is_better: else less is.
        mean_over_examples: whether it is the mean of each text's own: of a metric of labels, of 1
            where the label is right and 0 where it is wrong.
        needs: what is predicted: labels [..., B], or the probabilities of all labels [..., B, L].
        every_label: whether it says little of texts that lack one of the labels.
    """

    name: str
    function: Function
    greater_is_better: bool = True
    mean_over_examples: bool = False
    needs: Needs = "labels"
    every_label: bool = False
    vectorised: bool = False

    def __post_init__(self) -> None:
        """Refuse what a misspelling would make of a user's own.

        Raises:
            ConfigError: it needs something else than there is.
        """
        if self.needs not in get_args(Needs):
            raise ConfigError(
                f"metric {self.name}: needs is {self.needs!r}; it is {' or '.join(get_args(Needs))}"
            )

    def __call__(self, expected: Labels, predicted: NDArray[Any]) -> float:
        """As `score`."""
        return self.score(expected, predicted)

    def score(self, expected: Labels, predicted: NDArray[Any]) -> float:
        """Of B texts."""
        return float(self.function(expected, predicted))

    def scores(self, expected: Labels, predicted: NDArray[Any]) -> Floats:
        """Of many rows of B texts: [..., B] to [...]. No number where a user's own function raises:
        a row may be resampled texts, and lack a label."""
        if self.vectorised:
            return np.asarray(self.function(expected, predicted), dtype=np.float64)
        shape = expected.shape[:-1]
        rows = [self._try(expected[row], predicted[row]) for row in np.ndindex(shape)]
        return np.reshape(np.array(rows, dtype=np.float64), shape)

    def _try(self, expected: Labels, predicted: NDArray[Any]) -> float:
        try:
            return self.score(expected, predicted)
        except Exception:  # a user's function may raise anything
            return math.nan

    @cached_property
    def direction(self) -> Direction:
        return Direction(self.greater_is_better)

    @property
    def counts_right(self) -> bool:
        """Whether it is a part of the texts, those that are right: then Wilson's interval and
        McNemar's test hold. For any other metric, texts are resampled."""
        return self.mean_over_examples and self.needs == "labels"

    def right(self, expected: Labels, predicted: NDArray[Any]) -> NDArray[np.bool_]:
        """[B], whether the label of a text is right, of a metric that counts them."""
        return self.scores(expected[:, None], predicted[:, None]) > 0.5

    def predictions(self, log_probs: NDArray[Any], decided: Decision = _most) -> NDArray[Any]:
        """What is judged of the answers' log-probabilities [..., B, A]: what is decided of each
        text, [..., B], the most probable answer unless the kind of answers decides otherwise; or
        the probabilities of all."""
        if self.needs == "labels":
            return decided(log_probs)
        return np.exp(log_probs, dtype=np.float64)


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


def _loss(name: str, function: Function, **facts: Any) -> Metric:
    return _metric(name, function, greater_is_better=False, needs="probabilities", **facts)


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
            _loss("log_loss", functions.log_loss, mean_over_examples=True),
            _loss("brier", functions.brier, mean_over_examples=True),
            _loss("ece", functions.ece),
            _metric("auc", functions.auc, needs="probabilities", every_label=True),
        )
    },
    group="autoprompt.metrics",
)

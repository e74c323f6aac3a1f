"""95% intervals: how far a score might lie elsewhere, had other texts been drawn for the test."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from autoprompt.workers.task import Metric, score

Labels = NDArray[np.intp]


@dataclass(frozen=True)
class Estimate:
    """A score with its 95% interval, and the method that gave the interval."""

    score: float
    low: float
    high: float
    method: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def estimate(metric: Metric, expected: Labels, predicted: Labels) -> Estimate:
    """One prediction's score on B texts.

    Accuracy counts right answers, so its interval is Wilson's, which holds for few texts and near
    1 too; any other metric is resampled.
    """
    value = score(metric, expected.tolist(), predicted.tolist())
    if metric == "accuracy":
        right = int((expected == predicted).sum())
        interval = scipy.stats.binomtest(right, len(expected)).proportion_ci(method="wilson")
        return Estimate(value, float(interval.low), float(interval.high), "wilson")
    return _resampled(metric, expected, [predicted], value)


def estimate_mean(metric: Metric, expected: Labels, predicted: Sequence[Labels]) -> Estimate:
    """The mean score of N predictions, with the interval from resampling the B texts together."""
    values = [score(metric, expected.tolist(), each.tolist()) for each in predicted]
    return _resampled(metric, expected, predicted, float(np.mean(values)))


def _resampled(
    metric: Metric, expected: Labels, predicted: Sequence[Labels], value: float
) -> Estimate:
    """The percentile bootstrap, with a seed of its own so that a report is the same each time."""
    if len(expected) < 2:
        return Estimate(value, 0.0, 1.0, "bootstrap")

    def mean_score(right: Labels, *given: Labels, axis: int = -1) -> NDArray[np.float64]:
        return np.mean([scores_of(metric, right, each, axis) for each in given], axis=0)

    interval = scipy.stats.bootstrap(
        (expected, *predicted),
        mean_score,
        paired=True,
        vectorized=True,
        n_resamples=1000,
        batch=100,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Estimate(value, float(interval.low), float(interval.high), "bootstrap")


def scores_of(
    metric: Metric, expected: Labels, predicted: Labels, axis: int = -1
) -> NDArray[np.float64]:
    """`workers.task.score` of many rows at once: [..., B] and [..., B] to [...]."""
    if metric == "accuracy":
        return np.asarray((expected == predicted).mean(axis=axis), dtype=np.float64)
    labels = np.union1d(expected, predicted)
    found = np.stack([predicted == label for label in labels])
    wanted = np.stack([expected == label for label in labels])
    # F1 is 2 TP / (found + wanted); a label that a row has nowhere is not part of its mean.
    axis = axis if axis < 0 else axis + 1
    sizes = found.sum(axis=axis) + wanted.sum(axis=axis)
    f1 = 2 * (found & wanted).sum(axis=axis) / np.maximum(sizes, 1)
    return np.asarray(f1.sum(axis=0) / (sizes > 0).sum(axis=0), dtype=np.float64)

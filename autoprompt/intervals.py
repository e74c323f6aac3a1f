"""95% intervals: how far a score might lie elsewhere, had other texts been drawn for the test."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, bootstrap

from workers.task import Metric, score

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
        interval = binomtest(right, len(expected)).proportion_ci(method="wilson")
        return Estimate(value, float(interval.low), float(interval.high), "wilson")
    return _resampled(
        value,
        len(expected),
        lambda drawn: score(metric, expected[drawn].tolist(), predicted[drawn].tolist()),
    )


def estimate_mean(metric: Metric, expected: Labels, predicted: Sequence[Labels]) -> Estimate:
    """The mean score of N predictions, with the interval from resampling the B texts together."""

    def mean_score(drawn: NDArray[np.intp]) -> float:
        rows = [score(metric, expected[drawn].tolist(), each[drawn].tolist()) for each in predicted]
        return float(np.mean(rows))

    everything = np.arange(len(expected))
    return _resampled(mean_score(everything), len(expected), mean_score)


def _resampled(
    value: float, count: int, statistic: Callable[[NDArray[np.intp]], float]
) -> Estimate:
    """The percentile bootstrap, with a seed of its own so that a report is the same each time."""
    if count < 2:
        return Estimate(value, 0.0, 1.0, "bootstrap")
    interval = bootstrap(
        (np.arange(count),),
        statistic,
        n_resamples=1000,
        method="percentile",
        vectorized=False,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Estimate(value, float(interval.low), float(interval.high), "bootstrap")

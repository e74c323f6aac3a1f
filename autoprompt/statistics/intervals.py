"""95% intervals: how far a score might lie elsewhere, had other texts been drawn for the test."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from autoprompt.workers.metric_functions import Floats, Labels
from autoprompt.workers.metrics import Function, Metric

#: Rows of resampled texts that are scored at a time.
_BATCH = 100


@dataclass(frozen=True)
class Estimate:
    """A score with its 95% interval, and the method that gave the interval."""

    score: float
    low: float
    high: float
    method: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def estimate(metric: Metric, expected: NDArray[Any], predicted: NDArray[Any]) -> Estimate:
    """One prompt's score on B texts.

    Where right answers are counted, the interval is Wilson's, which holds for few texts and near 1
    too; for any other metric, texts are resampled.
    """
    value = metric.score(expected, predicted)
    if metric.counts_right:
        return estimate_part(int(metric.right(expected, predicted).sum()), len(expected))
    return _resampled(metric, expected, [predicted], value)


def estimate_part(count: int, of: int) -> Estimate:
    """The part of some texts that something holds for, with Wilson's interval."""
    interval = scipy.stats.binomtest(count, of).proportion_ci(method="wilson")
    return Estimate(count / of, float(interval.low), float(interval.high), "wilson")


def estimate_mean(
    metric: Metric, expected: NDArray[Any], predicted: Sequence[NDArray[Any]]
) -> Estimate:
    """The mean score of N prompts, with the interval from resampling the B texts together."""
    value = float(np.mean([metric.score(expected, member) for member in predicted]))
    return _resampled(metric, expected, predicted, value)


def _resampled(
    metric: Metric, expected: NDArray[Any], predicted: Sequence[NDArray[Any]], value: float
) -> Estimate:
    """The percentile bootstrap; of a metric of gaps, see `_of_gaps`."""

    members = [metric.resampler(expected, member) for member in predicted]

    def mean_score(texts: Labels) -> Floats:
        return np.asarray(np.mean([scores(texts) for scores in members], axis=0))

    drawn = resampled(mean_score, len(expected), 1000)
    if not len(drawn):
        return Estimate(value, min(0.0, value), max(1.0, value), "bootstrap")
    low, high = np.percentile(drawn, (2.5, 97.5))
    if metric.gaps is not None:
        low, high = _of_gaps(metric.gaps, expected, predicted, value, drawn)
    return Estimate(value, float(low), float(high), "bootstrap")


def _of_gaps(
    gaps: Function,
    expected: Labels,
    predicted: Sequence[NDArray[Any]],
    value: float,
    drawn: Floats,
) -> tuple[float, float]:
    """The interval of a sum of gaps' sizes, to which chance adds: in the texts once, and in what is
    resampled of them once more, so that its percentiles may all lie above the score.

    It reaches as far up as resampled scores lie above their mean, and as far down as resampling
    changes the gaps in sum: by the triangle inequality the score lies no further above that of all
    texts there might be. It holds the score, and 0 where it may be chance alone.

    Args:
        drawn: the resampled scores.
    """
    known = [gaps(expected, member) for member in predicted]

    def changes(texts: Labels) -> Floats:
        sizes = [
            np.abs(gaps(expected[texts], member[texts]) - own).sum(axis=-1)
            for member, own in zip(predicted, known, strict=True)
        ]
        return np.asarray(np.mean(sizes, axis=0))

    down = float(np.percentile(resampled(changes, len(expected), len(drawn)), 97.5))
    up = float(np.percentile(drawn, 97.5) - drawn.mean())
    return max(value - down, 0.0), value + up


def resampled(statistic: Callable[[Labels], Floats], texts: int, draws: int) -> Floats:
    """A statistic of texts drawn with replacement, where it is a number; with a seed of its own, so
    that a report is the same each time.

    Args:
        statistic: of the texts at these places, [draws, B] to [draws].

    Returns:
        As many as there are draws, fewer where the statistic is not defined for some of them, none
        of a single text.
    """
    if texts < 2:
        return np.empty(0)
    rng = np.random.default_rng(0)
    sizes = [min(_BATCH, draws - done) for done in range(0, draws, _BATCH)]
    drawn = np.concatenate([statistic(rng.integers(0, texts, (size, texts))) for size in sizes])
    return drawn[np.isfinite(drawn)]

"""Whether a difference between two scores is more than chance."""

from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from autoprompt.statistics.intervals import Estimate, resampled
from autoprompt.workers.direction import UP, Direction
from autoprompt.workers.metric_functions import Floats
from autoprompt.workers.metrics import Metric

#: A difference is called real where chance alone makes one as large in fewer than so many cases.
SIGNIFICANT = 0.05


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """McNemar's exact test on the same B texts: p of the two being right equally often.

    Args:
        first, second: [B], whether each was right.
    """
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(scipy.stats.binomtest(only_first, only_first + only_second).pvalue)


def paired_p(
    metric: Metric,
    expected: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    *,
    draws: int = 2000,
) -> tuple[float, str]:
    """p of two prompts' predictions for the same B texts being equally good, and the test's name.

    Where right answers are counted, McNemar's exact test holds; for another metric, the texts are
    resampled so many times, and p is how often the difference changes its sign, twice.
    """
    if metric.counts_right:
        right = [metric.right(expected, predicted) for predicted in (first, second)]
        return mcnemar(*right), "McNemar"
    if np.array_equal(first, second):
        return 1.0, "paired bootstrap"
    drawn = resampled_differences(metric, expected, first, second, draws)
    if not len(drawn):
        return 1.0, "paired bootstrap"
    tail = min((drawn <= 0).mean(), (drawn >= 0).mean())
    return min(1.0, 2 * float(tail)), "paired bootstrap"


def resampled_differences(
    metric: Metric,
    expected: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    draws: int,
) -> Floats:
    """The first score less the second, of texts drawn with replacement so many times."""
    own, other = (metric.resampler(expected, predicted) for predicted in (first, second))
    return resampled(lambda texts: own(texts) - other(texts), len(expected), draws)


def clearly_worse(worse: Estimate, better: Estimate, direction: Direction = UP) -> bool:
    """Whether a score on some texts is worse than a score on other texts by more than chance (5%,
    one side), from the widths of their 95% intervals."""
    normal = scipy.stats.norm
    errors = [
        (estimate.high - estimate.low) / 2 / normal.ppf(0.975) for estimate in (worse, better)
    ]
    gap = direction.oriented(better.score - worse.score)
    return bool(gap > 0 and gap > normal.ppf(1 - SIGNIFICANT) * np.hypot(*errors))


def luckier_than(score: float, repeats: list[float]) -> bool:
    """Whether an oriented score lies above what repeats with other seeds lead one to expect (5%,
    one side): beyond Student's prediction interval for one more of them."""
    if len(repeats) < 2:
        return False
    spread = float(np.std(repeats, ddof=1)) * np.sqrt(1 + 1 / len(repeats))
    bound = (
        float(np.mean(repeats))
        + float(scipy.stats.t.ppf(1 - SIGNIFICANT, len(repeats) - 1)) * spread
    )
    return score > bound + 1e-12

"""How far two scores on the same texts lie apart, and whether by more than chance."""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from autoprompt.statistics.significance import SIGNIFICANT, mcnemar, resampled_differences
from autoprompt.workers.metric_functions import Floats
from autoprompt.workers.metrics import Metric

#: Resamplings of the texts for each comparison that is corrected for, whose tails are thinner; and
#: at most.
_DRAWS, _MOST_DRAWS = 2000, 20000


@dataclass(frozen=True)
class PairedDifference:
    """The first score less the second, both on the same texts.

    Attributes:
        low, high: the 95% interval, and `method` how it was found.
        p: of the two being equally good, and `test` how it was found.
        corrected: the same where this is one of several comparisons on these texts (Bonferroni):
            in 95% of cases all of their intervals hold.
    """

    difference: float
    low: float
    high: float
    method: str
    p: float
    test: str
    corrected: "PairedDifference | None" = None

    def as_dict(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("difference", "low", "high", "method")}
        own |= {"p": self.p, "test": self.test}
        wider = self.corrected or self
        return own | {"corrected": {"low": wider.low, "high": wider.high, "p": wider.p}}


def paired_difference(
    metric: Metric,
    expected: NDArray[Any],
    first: NDArray[Any],
    second: NDArray[Any],
    comparisons: int = 1,
) -> PairedDifference:
    """Of two predictions for the same B texts.

    Where right answers are counted, Tango's score interval (1998) and McNemar's exact test, which
    hold for few texts that the two tell apart; for any other metric, texts are resampled in pairs.

    Args:
        first, second: as `metric` is given them.
        comparisons: how many are made on these texts, this one included.
    """
    apart = metric.score(expected, first) - metric.score(expected, second)
    levels = (SIGNIFICANT, SIGNIFICANT / comparisons)
    if metric.counts_right:
        right = [metric.right(expected, predicted) for predicted in (first, second)]
        only_first, only_second = (
            int((right[0] & ~right[1]).sum()),
            int((~right[0] & right[1]).sum()),
        )
        ends = [score_interval(only_first, only_second, len(expected), level) for level in levels]
        method, p, test = "score", mcnemar(*right), "McNemar"
    else:
        draws = min(_DRAWS * comparisons, _MOST_DRAWS)
        drawn = resampled_differences(metric, expected, first, second, draws)
        ends = [_percentiles(drawn, apart, level) for level in levels]
        method, p, test = "bootstrap", _sign_p(drawn), "paired bootstrap"
    (low, high), (lower, higher) = ends
    wider = PairedDifference(apart, lower, higher, method, min(1.0, p * comparisons), test)
    return PairedDifference(apart, low, high, method, p, test, wider)


def score_interval(
    only_first: int, only_second: int, texts: int, level: float = SIGNIFICANT
) -> tuple[float, float]:
    """Tango's interval (1998) for the difference of two parts of the same texts: those differences
    that a score test does not reject, which at 0 is McNemar's.

    Unlike others it has a width where the two were right and wrong on the same texts.

    Args:
        only_first, only_second: texts on which one was right and the other wrong.
        level: of cases in which the difference lies outside.
    """
    bound = float(scipy.stats.norm.ppf(1 - level / 2))
    apart = only_first - only_second

    def statistic(difference: float) -> float:
        # The likeliest part of texts that the second alone has right, given the difference.
        linear = (2 * texts - apart) * difference - only_first - only_second
        constant = -only_second * difference * (1 - difference)
        part = (sqrt(max(linear**2 - 8 * texts * constant, 0.0)) - linear) / (4 * texts)
        variance = texts * (2 * part + difference * (1 - difference))
        return (apart - texts * difference) / sqrt(variance) if variance > 0 else 0.0

    def end(side: int) -> float:
        """Where the test begins to reject, on one side of what was seen."""
        seen, furthest = apart / texts, side * (1 - 1e-12)
        if side * statistic(furthest) > -bound:
            return float(side)
        return float(scipy.optimize.brentq(lambda at: statistic(at) + side * bound, seen, furthest))

    return end(-1), end(1)


def _percentiles(drawn: Floats, apart: float, level: float) -> tuple[float, float]:
    if not len(drawn):
        return min(-1.0, apart), max(1.0, apart)
    low, high = np.quantile(drawn, (level / 2, 1 - level / 2))
    return float(low), float(high)


def _sign_p(drawn: Floats) -> float:
    """Twice how often the difference changes its sign; never 0, which no number of draws shows."""
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return min(1.0, 2 * (float(tail) + 1) / (len(drawn) + 1))

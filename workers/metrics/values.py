"""Metrics of numbers: right ones and predicted ones, both [..., B], to a score for each row, [...].

They are scikit-learn's and SciPy's functions, over many rows of texts at once.
"""

import numpy as np
from scipy import stats

from autoprompt.workers.metric_functions import Floats


def mae(expected: Floats, predicted: Floats) -> Floats:
    """The mean distance of the predicted number from the right one; `mean_absolute_error`."""
    return np.mean(np.abs(predicted - expected), axis=-1, dtype=np.float64)


def rmse(expected: Floats, predicted: Floats) -> Floats:
    """The root of the mean squared distance from the right number; `root_mean_squared_error`."""
    return np.sqrt(np.mean((predicted - expected) ** 2, axis=-1, dtype=np.float64))


def pearson(expected: Floats, predicted: Floats) -> Floats:
    """Pearson's correlation of predicted numbers with right ones; `scipy.stats.pearsonr`.

    0 where all of either are equal.
    """
    own, other = (values - values.mean(axis=-1, keepdims=True) for values in (expected, predicted))
    together = (own * other).sum(axis=-1)
    apart = np.sqrt((own**2).sum(axis=-1) * (other**2).sum(axis=-1))
    spread = (np.ptp(expected, axis=-1) > 0) & (np.ptp(predicted, axis=-1) > 0) & (apart > 0)
    return np.where(spread, together / np.where(spread, apart, 1.0), 0.0)


def spearman(expected: Floats, predicted: Floats) -> Floats:
    """Spearman's correlation: Pearson's of their ranks; `scipy.stats.spearmanr`.

    0 where all of either are equal.
    """
    return pearson(stats.rankdata(expected, axis=-1), stats.rankdata(predicted, axis=-1))

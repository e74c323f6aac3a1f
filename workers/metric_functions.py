"""The metrics' formulas, over many rows of answers at once.

Each takes the right labels [..., B], and as answers the predicted labels [..., B] or probabilities
[..., B, L], and gives a number for each row, [...]. They are scikit-learn's functions of the same
names, which take one row at a time; a bootstrap has a thousand.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.intp]
Floats = NDArray[np.floating[Any]]


def accuracy(expected: Labels, predicted: Labels) -> Floats:
    """The part of the texts that is right; `accuracy_score`."""
    return np.mean(expected == predicted, axis=-1, dtype=np.float64)


def balanced_accuracy(expected: Labels, predicted: Labels) -> Floats:
    """The mean over labels of the part of its texts that is right; `balanced_accuracy_score`.

    A label that no text of a row has is not part of the row's mean.
    """
    both, _, right = _counts(expected, predicted)
    return _mean_of(both / np.maximum(right, 1), right > 0)


def macro_f1(expected: Labels, predicted: Labels) -> Floats:
    """The mean over labels of F1; `f1_score(average="macro")`.

    A label that a row has nowhere, neither right nor predicted, is not part of the row's mean.
    """
    both, said, right = _counts(expected, predicted)
    return _mean_of(2 * both / np.maximum(said + right, 1), said + right > 0)


def micro_f1(expected: Labels, predicted: Labels) -> Floats:
    """F1 of all labels' counts together; `f1_score(average="micro")`.

    Where a text has one label, as all do, a wrong one counts once as too many and once as missing,
    and this is accuracy.
    """
    return accuracy(expected, predicted)


def mcc(expected: Labels, predicted: Labels) -> Floats:
    """Matthews' correlation, of two labels or more (Gorodkin 2004); `matthews_corrcoef`.

    0 where only one label is predicted, or only one is right.
    """
    both, said, right = (counts.astype(np.float64) for counts in _counts(expected, predicted))
    texts = right.sum(axis=-1)
    covariance = both.sum(axis=-1) * texts - (said * right).sum(axis=-1)
    spread = (texts**2 - (said**2).sum(axis=-1)) * (texts**2 - (right**2).sum(axis=-1))
    return np.where(spread > 0, covariance / np.sqrt(np.where(spread > 0, spread, 1.0)), 0.0)


def _counts(expected: Labels, predicted: Labels) -> tuple[Labels, Labels, Labels]:
    """[..., L] each: how often a label is predicted and right, is predicted, is right."""
    said, right = (
        np.stack([answers == label for label in np.union1d(expected, predicted)], axis=-1)
        for answers in (predicted, expected)
    )
    return (said & right).sum(axis=-2), said.sum(axis=-2), right.sum(axis=-2)


def _mean_of(values: Floats, counted: NDArray[np.bool_]) -> Floats:
    """The mean over the last axis of those that count."""
    return np.where(counted, values, 0.0).sum(axis=-1) / np.maximum(counted.sum(axis=-1), 1)

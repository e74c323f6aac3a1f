"""The metrics' formulas, over many rows of texts at once.

Each takes the right labels [..., B] and what is predicted, labels [..., B] or the probabilities of
all labels [..., B, L], and gives a number for each row, [...]. But for `ece` they are
scikit-learn's functions, which take one row at a time; a bootstrap has a thousand.
"""

from typing import Any

import numpy as np
import scipy
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
    both, guesses, right = _counts(expected, predicted)
    return _mean_of(f1(both, guesses, right), guesses + right > 0)


def f1(both: NDArray[Any], guesses: NDArray[Any], right: NDArray[Any]) -> Floats:
    """F1 of how many are predicted and right, are predicted, are right; 0 where there are none."""
    return 2 * both / np.maximum(guesses + right, 1)


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
    both, guesses, right = (counts.astype(np.float64) for counts in _counts(expected, predicted))
    texts = right.sum(axis=-1)
    covariance = both.sum(axis=-1) * texts - (guesses * right).sum(axis=-1)
    spread = (texts**2 - (guesses**2).sum(axis=-1)) * (texts**2 - (right**2).sum(axis=-1))
    return np.where(spread > 0, covariance / np.sqrt(np.where(spread > 0, spread, 1.0)), 0.0)


def log_loss(expected: Labels, probabilities: Floats) -> Floats:
    """The mean negative logarithm of the right label's probability, in nats; `log_loss`.

    A probability of 0 counts as the smallest that a float has beside 1.
    """
    right = np.take_along_axis(probabilities, expected[..., None], axis=-1)[..., 0]
    smallest = float(np.finfo(np.float64).eps)
    return np.mean(-np.log(np.clip(right, smallest, 1 - smallest)), axis=-1, dtype=np.float64)


def brier(expected: Labels, probabilities: Floats) -> Floats:
    """The mean over texts of the squared distance of the probabilities from 1 for the right label
    and 0 for the others (Brier 1950); `brier_score_loss`.

    Of two labels, as usual, one alone counts.
    """
    distance = ((probabilities - _one_hot(expected, probabilities)) ** 2).sum(axis=-1)
    parts = 2 if probabilities.shape[-1] == 2 else 1
    return np.mean(distance / parts, axis=-1, dtype=np.float64)


#: Bins of equal width that confidences are sorted into, as in the paper.
BINS = 15


def bins_of(confidence: Floats) -> Labels:
    """The bin of each confidence, counted from 0: (m / M, (m + 1) / M], as the paper has them."""
    return np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)


def ece(expected: Labels, probabilities: Floats) -> Floats:
    """The expected calibration error (Guo et al. 2017): how far confidence, the probability of the
    predicted label, lies from the part that is right, on the mean over texts by bins of confidence.
    """
    return np.abs(calibration_gaps(expected, probabilities)).sum(axis=-1)


def calibration_gaps(expected: Labels, probabilities: Floats) -> Floats:
    """[..., BINS], what each bin adds to `ece`, with its sign: below 0 where confidence is larger
    than the part that is right."""
    confidence = probabilities.max(axis=-1)
    gaps = (probabilities.argmax(axis=-1) == expected) - confidence
    bins = bins_of(confidence)
    sums = [np.where(bins == number, gaps, 0.0).sum(axis=-1) for number in range(BINS)]
    return np.stack(sums, axis=-1, dtype=np.float64) / expected.shape[-1]


def auc(expected: Labels, probabilities: Floats) -> Floats:
    """The area under the ROC curve, of more than two labels the mean over labels of each one's
    against the rest; `roc_auc_score(multi_class="ovr")`.

    A label that no text has, or every text, has no curve and is not part of the mean; without any,
    the area is 0.5, that of chance.
    """
    labels = range(probabilities.shape[-1])
    areas = []
    # Of two labels, the second one's curve is the first one's mirrored.
    for label in labels if len(labels) > 2 else labels[1:]:
        right = expected == label
        ranks = scipy.stats.rankdata(probabilities[..., label], axis=-1)
        count = right.sum(axis=-1)
        pairs = count * (expected.shape[-1] - count)
        won = np.where(right, ranks, 0.0).sum(axis=-1) - count * (count + 1) / 2
        areas.append(np.where(pairs > 0, won / np.maximum(pairs, 1), np.nan))
    values = np.stack(areas, axis=-1)
    counted = ~np.isnan(values)
    mean = _mean_of(values, counted)
    return np.where(counted.any(axis=-1), mean, 0.5)


def _one_hot(expected: Labels, probabilities: Floats) -> Floats:
    return np.eye(probabilities.shape[-1])[expected]


def _counts(expected: Labels, predicted: Labels) -> tuple[Labels, Labels, Labels]:
    """[..., L] each: how often a label is predicted and right, is predicted, is right."""
    guesses, right = (
        np.stack([answers == label for label in np.union1d(expected, predicted)], axis=-1)
        for answers in (predicted, expected)
    )
    return (guesses & right).sum(axis=-2), guesses.sum(axis=-2), right.sum(axis=-2)


def _mean_of(values: Floats, counted: NDArray[np.bool_]) -> Floats:
    """The mean over the last axis of those that count."""
    return np.where(counted, values, 0.0).sum(axis=-1) / np.maximum(counted.sum(axis=-1), 1)

"""Metrics of several labels a text: which of L are right and which are predicted, 0 and 1, both
[..., B, L], to a score for each row, [...].

They are scikit-learn's functions for multilabel answers, over many rows of texts at once.
"""

import numpy as np

from autoprompt.workers.metric_functions import Floats, Labels, f1


def subset_accuracy(expected: Labels, predicted: Labels) -> Floats:
    """The part of the texts of which every label is right; `accuracy_score`."""
    return np.mean((expected == predicted).all(axis=-1), axis=-1, dtype=np.float64)


def hamming_loss(expected: Labels, predicted: Labels) -> Floats:
    """The part of all labels of all texts that is wrong; `hamming_loss`."""
    return np.mean((expected != predicted).mean(axis=-1), axis=-1, dtype=np.float64)


def multilabel_micro_f1(expected: Labels, predicted: Labels) -> Floats:
    """F1 of all labels' counts together; `f1_score(average="micro")`."""
    return f1(*(counts.sum(axis=-1) for counts in _counts(expected, predicted)))


def multilabel_macro_f1(expected: Labels, predicted: Labels) -> Floats:
    """The mean over labels of F1; `f1_score(average="macro")`.

    A label that is neither right nor predicted anywhere counts as 0.
    """
    return f1_by_label(expected, predicted).mean(axis=-1)


def f1_by_label(expected: Labels, predicted: Labels) -> Floats:
    """[..., L], the F1 of each label; `f1_score(average=None)`."""
    return f1(*_counts(expected, predicted))


def _counts(expected: Labels, predicted: Labels) -> tuple[Labels, Labels, Labels]:
    """[..., L] each: how often a label is predicted and right, is predicted, is right."""
    return (expected & predicted).sum(axis=-2), predicted.sum(axis=-2), expected.sum(axis=-2)

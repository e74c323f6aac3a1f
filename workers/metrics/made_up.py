"""Right answers and decisions made up in a metric's terms, to try it on before any are there.

Each stands for a label: an int array of any shape becomes answers of the same shape, or with one
axis more where each of L labels is decided for itself.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoprompt.workers.metric_functions import Labels
from autoprompt.workers.metrics.metric import Needs


def right_answers(needs: Needs, labels: Labels, size: int) -> NDArray[Any]:
    """What is right.

    Args:
        labels: [...], each of `size`.
    """
    if needs == "texts":
        return _of_each(lambda label: (f"the number {label}", f"it is number {label}"), labels)
    if needs == "probabilities":
        return labels
    return decisions(needs, labels, size)


def decisions(needs: Needs, labels: Labels, size: int) -> NDArray[Any]:
    """What is predicted; of probabilities, those of someone who is rather sure.

    Args:
        labels: [...], each of `size`.
    """
    if needs == "values":
        return labels.astype(np.float64)
    if needs == "sets":
        return np.eye(size, dtype=np.intp)[labels]
    if needs == "texts":
        return _of_each(lambda label: f"it is number {label}", labels)
    if needs == "spans":
        return _of_each(lambda label: ((0, 4, "same"), (5, 9, f"label {label}")), labels)
    if needs == "probabilities":
        odds = np.exp(2.0 * np.eye(size)[labels])
        return odds / odds.sum(axis=-1, keepdims=True)
    return labels


def _of_each(made: Any, labels: Labels) -> NDArray[Any]:
    """An array of objects, one for each label."""
    return np.asarray(np.frompyfunc(made, 1, 1)(labels))

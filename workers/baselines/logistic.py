"""Logistic regression on features of texts, its strength chosen by cross-validation on these."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from autoprompt.workers.baselines.baseline import smoothed, some
from autoprompt.workers.vote import Floats

#: Inverse strengths of regularisation that are tried, on features of a spread of 1, and on texts'
#: vectors of length 1.
STANDARDISED = (0.0001, 0.001, 0.01, 0.1)
NORMALISED = (0.1, 1.0, 10.0, 100.0)

#: Folds; fewer of many labels, which take as many times as long.
_FOLDS, _FEWER_FOLDS, _MANY_LABELS = 5, 3, 10

#: Texts that cross-validation looks at, and these times the labels.
_MOST_TEXTS, _MOST_TEXTS_BY_LABELS = 2000, 100_000

_STEPS = 200

#: The score of a label that nothing was learnt of.
_UNKNOWN = -1e4

#: [B], the answers' places.
Labels = Sequence[int] | NDArray[Any]

#: Places of the texts that are learnt from, and of those that are judged.
Fold = tuple[NDArray[Any], NDArray[Any]]


@dataclass(frozen=True)
class Linear:
    """Scores of A answers, linear in F features.

    Attributes:
        weight: [A, F].
        bias: [A].
    """

    weight: Floats
    bias: Floats

    def log_probs(self, features: Any) -> Floats:
        """[B, A] of features [B, F], dense or sparse; every one finite."""
        return smoothed(log_softmax(features @ self.weight.T + self.bias, axis=-1))

    def unscaled(self, mean: Floats, scale: Floats) -> "Linear":
        """The same for features as they were, of one fitted to (features - mean) / scale."""
        weight = self.weight / scale
        return Linear(weight, self.bias - weight @ mean)


def fitted(features: Any, labels: Labels, size: int, strength: float) -> Linear:
    """Fit to B texts; a label that none of them has is as good as impossible.

    Args:
        features: [B, F], dense or sparse.
        labels: [B].
        size: A.
        strength: C, the inverse strength of regularisation.
    """
    # Imported here: a second that only those who fit something have to wait.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    expected = np.asarray(labels)
    weight = np.zeros((size, features.shape[1]), dtype=np.float32)
    bias = np.full(size, _UNKNOWN, dtype=np.float32)
    known = np.unique(expected)
    if len(known) == 1:
        bias[known] = 0.0
        return Linear(weight, bias)
    with warnings.catch_warnings():
        # Good enough after so many steps; and each text may well have a label of its own.
        for harmless in (ConvergenceWarning, UserWarning):
            warnings.simplefilter("ignore", harmless)
        model = LogisticRegression(C=strength, max_iter=_STEPS).fit(features, expected)
    both = len(known) == 2  # scikit-learn then has one row: of the second against the first
    weight[known] = np.vstack([0 * model.coef_, model.coef_]) if both else model.coef_
    bias[known] = np.append(0.0, model.intercept_) if both else model.intercept_
    return Linear(weight, bias)


def folds(labels: Labels, size: int, seed: int) -> list[Fold]:
    """Divisions of B labelled texts, or of a part of many, for cross-validation; none where no
    label has two texts, or there is one label alone.

    Args:
        size: A.
    """
    from sklearn.model_selection import StratifiedKFold

    places = some(len(labels), min(_MOST_TEXTS, _MOST_TEXTS_BY_LABELS // size), seed)
    own = np.asarray(labels)[places]
    counts = np.unique(own, return_counts=True)[1]
    number = min(_FEWER_FOLDS if size > _MANY_LABELS else _FOLDS, counts.max(initial=0))
    if number < 2 or len(counts) < 2:
        return []
    with warnings.catch_warnings():
        # A label with fewer texts than there are folds is missing from some of them.
        warnings.simplefilter("ignore", UserWarning)
        parts = StratifiedKFold(number, shuffle=True, random_state=seed).split(own, own)
        return [(places[learnt], places[judged]) for learnt, judged in parts]


def loss(log_probs: Floats, labels: Labels) -> float:
    """The mean loss of log-probabilities [B, A], in nats."""
    return -float(log_probs[np.arange(len(labels)), np.asarray(labels)].mean())


def fold_loss(
    features: Any, labels: Labels, size: int, strength: float, parts: Sequence[Fold]
) -> float:
    """The mean loss of texts that were not learnt from, over all folds."""
    expected = np.asarray(labels)
    return float(
        np.mean(
            [
                loss(
                    fitted(features[learnt], expected[learnt], size, strength).log_probs(
                        features[judged]
                    ),
                    expected[judged],
                )
                for learnt, judged in parts
            ]
        )
    )


def best_strength(
    features: Any,
    labels: Labels,
    size: int,
    strengths: Sequence[float],
    parts: Sequence[Fold],
) -> float:
    """The strength with the least loss over folds; the second where there are none."""
    if not parts:
        return strengths[1]
    losses = [fold_loss(features, labels, size, strength, parts) for strength in strengths]
    return strengths[int(np.argmin(losses))]

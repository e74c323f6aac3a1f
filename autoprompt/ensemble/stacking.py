"""A stacked vote: logistic regression with L2 over what the members say (Wolpert 1992).

Fitted to predictions for texts that the members did not learn; how much L2 is chosen by
cross-validation.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from autoprompt.workers.combination import Stack
from autoprompt.workers.vote import Floats

#: Inverse strengths of L2, and folds that choose among them.
_STRENGTHS = np.logspace(-4, 0, 9)
_FOLDS = 5

#: A bias for answers that no text has: never chosen.
_NEVER = -30.0


def stacked_vote(log_probs: Floats, labels: Sequence[int]) -> Stack:
    """The layer that makes the right answers of B texts most probable, held back by L2.

    Args:
        log_probs: [N, B, A].
        labels: [B].
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    members, _, answers = log_probs.shape
    known, counts = np.unique(labels, return_counts=True)
    biases = np.full(answers, _NEVER)
    coefficients = np.zeros((members, answers, answers))
    if len(known) == 1:
        biases[known[0]] = 0.0
        return Stack(coefficients, biases)
    features, right = _features(log_probs), np.asarray(labels)
    folds = min(_FOLDS, int(counts.min()))
    model = LogisticRegression(C=float(np.median(_STRENGTHS)), max_iter=1000)
    if folds > 1:
        parts = StratifiedKFold(folds, shuffle=True, random_state=0)
        search = GridSearchCV(model, {"C": _STRENGTHS}, scoring="neg_log_loss", cv=parts)
        model = search.fit(features, right).best_estimator_
    else:
        model.fit(features, right)
    rows, own = model.coef_, model.intercept_
    if len(known) == 2:
        # One row says how much likelier the second is than the first.
        rows, own = np.concatenate([-rows, rows]) / 2, np.concatenate([-own, own]) / 2
    coefficients[:, :, known] = rows.T.reshape(members, answers, len(known))
    biases[known] = own
    return Stack(coefficients, biases)


def cross_fitted(log_probs: Floats, labels: NDArray[np.intp]) -> Floats:
    """[B, A], what stacked votes say of texts that they were not fitted to."""
    from sklearn.model_selection import KFold

    said = np.empty(log_probs.shape[1:])
    for learnt, left_out in KFold(_FOLDS, shuffle=True, random_state=0).split(labels):
        stack = stacked_vote(log_probs[:, learnt], labels[learnt])
        said[left_out] = stack(log_probs[:, left_out])
    return said


def _features(log_probs: Floats) -> Floats:
    """[B, N * A], of [N, B, A]."""
    finite = np.maximum(log_probs, np.log(1e-12))
    return np.asarray(finite.transpose(1, 0, 2).reshape(finite.shape[1], -1), dtype=np.float64)

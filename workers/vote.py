"""The ensemble's vote (Lester et al. 2021, section 6)."""

from collections.abc import Sequence
from math import exp
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from autoprompt.search_spaces.errors import ConfigError
from autoprompt.workers.direction import UP, Direction
from autoprompt.workers.metrics import Metric

Vote = Literal["majority", "weighted", "mean", "stacked"]
Floats = NDArray[np.floating[Any]]


def predictions(log_probs: Floats) -> NDArray[np.intp]:
    """The most probable label of each text: [..., B, L] to [..., B]."""
    return np.argmax(log_probs, axis=-1)


def vote_weights(
    vote: Vote, counts: Sequence[int], scores: Sequence[float], direction: Direction = UP
) -> list[float]:
    """[N], what each member's vote counts: heads, or in a weighted vote heads by their scores.

    A score of which less is better counts as its negative exponential, a log loss thus as the
    (geometric) mean probability of the right labels; one below 0 of which more is better as 0.

    Args:
        counts: [N], how often each member was drawn; a member drawn twice has two heads.
        scores: [N], oriented by `direction`.
    """
    heads = [float(count) for count in counts]
    if vote != "weighted":
        return heads
    worth = [max(score, 0.0) if direction.greater_is_better else exp(score) for score in scores]
    return [head * value for head, value in zip(heads, worth, strict=True)] if any(worth) else heads


def cast_votes(log_probs: Floats, weights: Sequence[float] | None = None) -> NDArray[np.intp]:
    """[B], the labels that N members vote for; a tie goes to the label with the larger
    log-probability summed over the members.

    Args:
        log_probs: [N, B, L].
        weights: [N], of each member's vote; 1 where none are given.
    """
    heads = np.ones(len(log_probs)) if weights is None else np.asarray(weights, dtype=float)
    votes = np.eye(log_probs.shape[-1])[predictions(log_probs)]
    shares = np.einsum("n,nbl->bl", heads, votes) / heads.sum()
    summed = log_probs.sum(axis=0)
    tied = np.isclose(shares, shares.max(axis=-1, keepdims=True))
    return np.where(tied, summed, -np.inf).argmax(axis=-1)


def mean_probabilities(log_probs: Floats, weights: Sequence[float] | None = None) -> Floats:
    """[B, L], the mean of N members' probabilities by the weights of their votes (the linear
    opinion pool, Stone 1961)."""
    return np.average(np.exp(log_probs, dtype=np.float64), axis=0, weights=weights)


def pooled(log_probs: Floats) -> Floats:
    """[B, L], the logarithm of the plain mean of N members' probabilities."""
    return np.asarray(logsumexp(log_probs, axis=0) - np.log(len(log_probs)))


def check_vote(vote: Vote, metric: Metric, way_out: str) -> None:
    """Refuse a metric of probabilities where a vote has none: counted heads are labels alone.

    Args:
        way_out: what would do instead.

    Raises:
        ConfigError: the vote is by majority, and the metric needs probabilities.
    """
    if vote == "majority" and metric.needs == "probabilities":
        raise ConfigError(
            f"a majority vote gives labels alone, and {metric.name} needs probabilities; {way_out}"
        )

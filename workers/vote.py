"""The ensemble's vote (Lester et al. 2021, section 6), and how far its members agree."""

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Ballot:
    """The outcome of a vote.

    Attributes:
        labels: [B], the index of the label chosen for each text.
        shares: [B, L], the part of the votes each label got.
    """

    labels: NDArray[np.intp]
    shares: Floats


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


def cast_votes(log_probs: Floats, weights: Sequence[float] | None = None) -> Ballot:
    """Let N members vote on B texts; a tie goes to the label with the larger log-probability summed
    over the members.

    Args:
        log_probs: [N, B, L].
        weights: [N], of each member's vote; 1 where none are given.
    """
    heads = np.ones(len(log_probs)) if weights is None else np.asarray(weights, dtype=float)
    votes = np.eye(log_probs.shape[-1])[predictions(log_probs)]
    shares = np.einsum("n,nbl->bl", heads, votes) / heads.sum()
    summed = log_probs.sum(axis=0)
    tied = np.isclose(shares, shares.max(axis=-1, keepdims=True))
    return Ballot(np.where(tied, summed, -np.inf).argmax(axis=-1), shares)


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


def agreement(decisions: NDArray[np.intp]) -> Floats:
    """[N, N], the part of the texts on which each two of the N members say the same.

    Args:
        said: [N, B], what each member decides.
    """
    return np.array([[float((one == other).mean()) for other in decisions] for one in decisions])


def disagreement_error_ratio(decisions: NDArray[np.intp], right: NDArray[np.intp]) -> float | None:
    """Mean pairwise disagreement of N members over their mean error (Theisen et al. 2023): how much
    a vote of theirs can give. Below 1 it gives little; None where no member errs.

    Args:
        decisions: [N, B], what each member decides.
        right: [B].
    """
    error = float((decisions != right).mean())
    return None if error == 0 else (1 - mean_agreement(agreement(decisions))) / error


def mean_agreement(pairs: Floats) -> float:
    """The mean over all pairs of different members; 1 for a single member."""
    count = len(pairs)
    return 1.0 if count == 1 else float((pairs.sum() - count) / (count * (count - 1)))

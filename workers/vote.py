"""The ensemble's vote (Lester et al. 2021, section 6), and how far its members agree."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from autoprompt.workers.task import predictions

Vote = Literal["majority", "weighted"]
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


def vote_weights(vote: Vote, counts: Sequence[int], scores: Sequence[float]) -> list[float]:
    """[N], what each member's vote counts: heads, or heads by their score on validation.

    Args:
        counts: [N], how often each member was drawn; a member drawn twice has two heads.
    """
    weights = [float(count) for count in counts]
    if vote == "weighted" and any(scores):
        weights = [weight * score for weight, score in zip(weights, scores, strict=True)]
    return weights


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


def agreement(log_probs: Floats) -> Floats:
    """[N, N], the part of the texts on which each two of the N members say the same.

    Args:
        log_probs: [N, B, L].
    """
    said = predictions(log_probs)
    return np.array([[float((one == other).mean()) for other in said] for one in said])


def mean_agreement(pairs: Floats) -> float:
    """The mean over all pairs of different members; 1 for a single member."""
    count = len(pairs)
    return 1.0 if count == 1 else float((pairs.sum() - count) / (count * (count - 1)))

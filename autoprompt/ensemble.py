"""The ensemble: the best few distinct prompts, and their vote (Lester et al. 2021, section 6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from autoprompt.store import PromptRecord
from workers.task import Metric, score

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


@dataclass(frozen=True)
class Chosen:
    """Members of an ensemble, best first, and what their vote scores on validation."""

    members: list[PromptRecord]
    vote: Vote
    validation: float


def choose(
    candidates: Sequence[PromptRecord],
    labels: Sequence[int],
    metric: Metric,
    size: int,
    vote: Vote,
) -> Chosen:
    """The best `size` distinct prompts, or as many as there are.

    Args:
        candidates: best first.
        labels: [B], the right labels of the validation texts.
    """
    members = best_distinct(candidates, size)
    log_probs = np.stack([load(member.log_probs)["log_probs"] for member in members])
    ballot = cast_votes(log_probs, vote, [member.score for member in members])
    return Chosen(members, vote, score(metric, labels, ballot.labels.tolist()))


def best_distinct(candidates: Sequence[PromptRecord], size: int) -> list[PromptRecord]:
    """The first `size` candidates that differ from one another, in the order given (best first)."""
    chosen: dict[str, PromptRecord] = {}
    for candidate in candidates:
        if len(chosen) == size:
            break
        chosen.setdefault(candidate.digest, candidate)
    return list(chosen.values())


def cast_votes(
    log_probs: Floats, vote: Vote = "majority", scores: Sequence[float] | None = None
) -> Ballot:
    """Let N members vote on B texts.

    A majority vote counts heads; a weighted one counts each head by its score on validation. In
    both, a tie goes to the label with the larger log-probability summed over the members.

    Args:
        log_probs: [N, B, L].
        scores: [N], the members' validation scores; needed for a weighted vote.

    Raises:
        ValueError: a weighted vote without scores.
    """
    if vote == "weighted" and scores is None:
        raise ValueError("a weighted vote needs the members' scores")
    weights = np.ones(len(log_probs)) if vote == "majority" else np.asarray(scores, dtype=float)
    if weights.sum() <= 0:
        weights = np.ones(len(log_probs))
    heads = np.eye(log_probs.shape[-1])[log_probs.argmax(axis=-1)]
    shares = np.einsum("n,nbl->bl", weights, heads) / weights.sum()
    summed = log_probs.sum(axis=0)
    tied = np.isclose(shares, shares.max(axis=-1, keepdims=True))
    labels = np.where(tied, summed, -np.inf).argmax(axis=-1)
    return Ballot(labels, shares)

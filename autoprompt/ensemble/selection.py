"""Who votes, and how many: prompts, and baselines where they may.

Everything here is decided by the predictions that the store has: of validation by the trials'
prompts, or of all labelled texts by prompts that did not learn them.
"""

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autoprompt.ensemble.pool import Pool
from autoprompt.ensemble.selections import SELECTIONS
from autoprompt.ensemble.stacking import cross_fitted, stacked_vote
from autoprompt.evaluation.candidates import POOL, C, best_distinct
from autoprompt.search_spaces.errors import ConfigError
from autoprompt.statistics.intervals import Estimate, estimate
from autoprompt.statistics.significance import SIGNIFICANT, mcnemar
from autoprompt.store import Candidate
from autoprompt.workers.agreement import disagreement_error_ratio
from autoprompt.workers.answers import Answers, Right
from autoprompt.workers.combination import Combination
from autoprompt.workers.metrics import Metric
from autoprompt.workers.recalibration import recalibration
from autoprompt.workers.vote import Floats, Vote

#: In how many ways prompts may ask otherwise.
_TRAITS = 4

#: So many texts a stacked vote is fitted to at the least; of fewer, it is their mean.
_STACKED = 20


@dataclass(frozen=True)
class Chosen:
    """An ensemble.

    Attributes:
        members: the N that vote, best first.
        combination: how they vote.
        validation: what the vote scores on the texts that judge it, natural.
        labels: [B], what is right of these texts.
        answers: how they vote.
        note: why it is not what was asked for; None where it is.
        halves: of a greedy choice, the vote's score on the half of the validation texts that it was
            drawn on, and on the half that confirmed it.
    """

    members: list[Candidate]
    combination: Combination
    select: str
    validation: float
    labels: Sequence[Right]
    answers: Answers
    note: str | None = None
    halves: tuple[Estimate, Estimate] | None = None

    @property
    def log_probs(self) -> Floats:
        """[N, B, L] of the texts that judge."""
        return stacked(self.members, self.answers)

    def as_row(self) -> dict[str, object]:
        """What the store keeps of it."""
        return {
            "members": [member.reference for member in self.members],
            **self.combination.as_dict(),
            "select": self.select,
            "validation": self.validation,
            "disagreement_error_ratio": self.disagreement_error_ratio,
            "note": self.note,
        }

    @property
    def disagreement_error_ratio(self) -> float | None:
        """How often two members disagree for each error of one; see `vote`."""
        decisions = self.answers.decided(self.log_probs)
        return disagreement_error_ratio(self.answers, decisions, self.answers.right(self.labels))


def choose(
    candidates: Sequence[Candidate],
    labels: Sequence[Right],
    answers: Answers,
    metric: Metric,
    size: int | None = None,
    vote: Vote = "majority",
    select: str = "top",
    bagged: bool = False,
) -> Chosen:
    """The ensemble among the candidates that differ from one another.

    It never scores less than the best candidate alone: where the vote would, fewer of its members
    are chosen, or that candidate by itself, and a note says so. A size that is given of plans that
    all labelled texts judge is kept unless the vote is clearly worse (McNemar's test): the best of
    several plans is partly the luckiest, and each of them is a vote of its folds already.

    Args:
        candidates: best first.
        labels: [B], what is right of the texts that judge.
        answers: how a vote is decided.
        size: how many vote, or as many as there are; with `greedy`, which draws some of them more
            than once, at most so many. None lets validation decide.
        select: which of them, by a name of `SELECTIONS`, or a user's own as `module:function`.
        bagged: whether candidates are plans that all labelled texts judge, as notes then say.

    Raises:
        ConfigError: there is no such selection, or it draws what is not there.
    """
    members = best_distinct(candidates, max(POOL, size or 0))
    pool = _pool(members, labels, answers, metric, vote)
    draws = _drawn(select, pool, size)
    validation, alone = pool.judged(draws), pool.judged([0])
    natural = metric.direction.natural
    kind, where = ("plan", "all labelled texts") if bagged else ("prompt", "validation")
    if any(member.baseline for member in members):
        kind = "member"
    note = None
    within_noise = bool(validation < alone and bagged and size and not _clearly_worse(pool, draws))
    if within_noise:
        note = (
            f"a {vote} vote of {len(set(draws))} by {select} scores {natural(validation):.4f} on "
            f"{where}, the best {kind} alone {natural(alone):.4f}, which is within noise"
        )
    elif validation < alone:
        # Fewer of the same, down to the best one by itself, which is no worse than itself.
        fewer = [[0], *(draws[:count] for count in range(1, len(draws)))]
        asked, missed = len(set(draws)), validation
        draws = max(fewer, key=lambda some: (pool.judged(some), len(set(some))))
        validation = pool.judged(draws)
        note = (
            f"{_voting(len(set(draws)), kind)}: a {vote} vote of {asked} by {select} scores "
            f"{natural(missed):.4f} on {where}, the best {kind} alone {natural(alone):.4f}"
        )
    elif len(set(draws)) == 1 and len(members) > 1 and size != 1:
        note = f"one {kind} votes: no vote of several scores as well on {where}"
    halves = None
    if select == "greedy":
        drawn, confirmed = (estimate(metric, *pool.voted(draws, half)) for half in pool.halves())
        halves = (drawn, confirmed)
    numbers, combination = pool.combined(draws)
    if vote == "stacked" and len(numbers) > 1 and len(labels) >= _STACKED:
        stacked_score = _cross_fitted_score(pool, numbers)
        if stacked_score >= alone:
            note = None if within_noise else note
            stack = stacked_vote(pool.log_probs[numbers], labels)
            combination = replace(combination, stack=stack, members=None)
            validation = stacked_score
        else:
            note = (
                f"one {kind} votes: a stacked vote of {len(numbers)} by {select} scores "
                f"{natural(stacked_score):.4f} on texts it was not fitted to, the best {kind} "
                f"alone {natural(alone):.4f}"
            )
            (numbers, combination), validation = pool.combined([0]), alone
    if answers.categorical:
        said = combination.log_probs(answers, pool.log_probs[numbers])
        combination = replace(combination, joint=recalibration(said, labels, answers.biased))
    if metric.needs == "probabilities" and combination.stack is None:
        predicted = combination.probabilities(answers, pool.log_probs[numbers])
        validation = metric.direction.oriented(metric.score(pool.labels, predicted))
    chosen = [members[number] for number in numbers]
    return Chosen(
        chosen, combination, select, natural(validation), list(labels), answers, note, halves
    )


def _clearly_worse(pool: Pool, draws: Sequence[int]) -> bool:
    """Whether the vote is wrong more often than the best candidate alone, beyond chance."""
    numbers, combination = pool.combined(draws)
    voted = combination.voted(pool.answers, pool.log_probs[numbers])
    best = pool.answers.decided(pool.log_probs[0])
    right = [pool.answers.correct(said, pool.labels) for said in (best, voted)]
    return right[0].sum() > right[1].sum() and mcnemar(*right) < SIGNIFICANT


def _cross_fitted_score(pool: Pool, numbers: Sequence[int]) -> float:
    """The oriented score of a stacked vote for texts that it was not fitted to."""
    said = cross_fitted(pool.log_probs[list(numbers)], pool.labels)
    predicted = pool.metric.predictions(said, pool.answers.decided)
    return pool.metric.direction.oriented(pool.metric.score(pool.labels, predicted))


def traits_of(candidate: Candidate) -> tuple[Hashable, ...]:
    """In what a prompt may ask otherwise than others; a baseline shares nothing with any."""
    if candidate.baseline is not None:
        return (candidate.digest,) * _TRAITS
    plan: dict[str, Any] = candidate.plan
    words = json.dumps(plan.get("label_words"), sort_keys=True)
    where = plan.get("position") or plan.get("layout")
    return plan.get("template"), words, where, candidate.kind


def drawn(
    candidates: Sequence[C],
    labels: Sequence[Right],
    answers: Answers,
    metric: Metric,
    size: int,
    select: str,
) -> list[C]:
    """The candidates that a rule draws, each once, best first; as `choose` takes them.

    Raises:
        ConfigError: there is no such selection, or it draws what is not there.
    """
    members = best_distinct(candidates, max(POOL, size))
    draws = _drawn(select, _pool(members, labels, answers, metric, "majority"), size)
    return [members[number] for number in sorted(set(draws))]


def _pool(
    members: Sequence[Candidate],
    labels: Sequence[Right],
    answers: Answers,
    metric: Metric,
    vote: Vote,
) -> Pool:
    return Pool(
        stacked(members, answers),
        answers.right(labels),
        [member.score for member in members],
        answers,
        metric,
        vote,
        [traits_of(member) for member in members],
    )


def _drawn(select: str, pool: Pool, size: int | None) -> list[int]:
    draws = SELECTIONS[select](pool, size)
    if not draws or not set(draws) <= set(range(len(pool.scores))):
        raise ConfigError(
            f"ensemble.select: {select} drew {draws!r} of {len(pool.scores)} candidates; it should "
            "return places in the pool, counted from 0, at least one"
        )
    return draws


def _voting(count: int, kind: str) -> str:
    return f"one {kind} votes" if count == 1 else f"{count} {kind}s vote"


def stacked(members: Sequence[Candidate], answers: Answers) -> Floats:
    """What the members say of the validation texts, [N, B, L]."""
    return np.stack([answers.unpacked(member.log_probs) for member in members])

"""Which prompts vote, and how many.

Everything here is decided on validation, from the predictions that the trials left in the store.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoprompt.ensemble.pool import Pool
from autoprompt.ensemble.selections import SELECTIONS
from autoprompt.evaluation.candidates import POOL, best_distinct
from autoprompt.search_spaces.errors import ConfigError
from autoprompt.statistics.intervals import Estimate, estimate
from autoprompt.store import PromptRecord
from autoprompt.workers.answers import Answers
from autoprompt.workers.metrics import Metric
from autoprompt.workers.vote import Floats, Vote


@dataclass(frozen=True)
class Chosen:
    """An ensemble.

    Attributes:
        members: the N prompts that vote, best first.
        weights: [N], what each one's vote counts.
        validation: what the vote scores on validation, natural.
        answers: how they vote.
        note: why it is not what was asked for; None where it is.
        halves: of a greedy choice, the vote's score on the half of the validation texts that it was
            drawn on, and on the half that confirmed it.
    """

    members: list[PromptRecord]
    weights: list[float]
    vote: Vote
    select: str
    validation: float
    answers: Answers
    note: str | None = None
    halves: tuple[Estimate, Estimate] | None = None

    @property
    def log_probs(self) -> Floats:
        """[N, B, L] of the validation texts."""
        return stacked(self.members, self.answers)

    def as_row(self) -> dict[str, object]:
        """What the store keeps of it."""
        return {
            "members": [member.number for member in self.members],
            "weights": self.weights,
            "vote": self.vote,
            "select": self.select,
            "validation": self.validation,
            "note": self.note,
        }


def choose(
    candidates: Sequence[PromptRecord],
    labels: Sequence[int],
    answers: Answers,
    metric: Metric,
    size: int | None = None,
    vote: Vote = "majority",
    select: str = "top",
) -> Chosen:
    """The ensemble among the candidates that differ from one another.

    It never scores less on validation than the best candidate alone: where the vote would, fewer
    of its members are chosen, or that candidate by itself, and a note says so.

    Args:
        candidates: best first.
        labels: [B], the right labels of the validation texts.
        answers: how a vote is decided.
        size: how many vote, or as many as there are; with `greedy`, which draws some of them more
            than once, at most so many. None lets validation decide.
        select: which of them, by a name of `SELECTIONS`, or a user's own as `module:function`.

    Raises:
        ConfigError: there is no such selection, or it draws what is not there.
    """
    members = best_distinct(candidates, max(POOL, size or 0))
    scores = [member.score for member in members]
    log_probs = stacked(members, answers)
    pool = Pool(log_probs, np.array(labels), scores, answers, metric, vote)
    draws = _drawn(select, pool, size)
    validation, alone = pool.judged(draws), pool.judged([0])
    natural = metric.direction.natural
    note = None
    if validation < alone:
        # Fewer of the same, down to the best prompt by itself, which is no worse than itself.
        fewer = [[0], *(draws[:count] for count in range(1, len(draws)))]
        asked, missed = len(set(draws)), validation
        draws = max(fewer, key=lambda some: (pool.judged(some), len(set(some))))
        validation = pool.judged(draws)
        note = (
            f"{_prompts(len(set(draws)))}: a {vote} vote of {asked} by {select} scores "
            f"{natural(missed):.4f} on validation, the best prompt alone {natural(alone):.4f}"
        )
    elif len(set(draws)) == 1 and len(members) > 1 and size != 1:
        note = "one prompt votes: no vote of several scores as well on validation"
    halves = None
    if select == "greedy":
        drawn, confirmed = (estimate(metric, *pool.voted(draws, half)) for half in pool.halves())
        halves = (drawn, confirmed)
    numbers, weights = pool.weighed(draws)
    chosen = [members[number] for number in numbers]
    return Chosen(chosen, weights, vote, select, natural(validation), answers, note, halves)


def _drawn(select: str, pool: Pool, size: int | None) -> list[int]:
    draws = SELECTIONS[select](pool, size)
    if not draws or not set(draws) <= set(range(len(pool.scores))):
        raise ConfigError(
            f"ensemble.select: {select} drew {draws!r} of {len(pool.scores)} candidates; it should "
            "return places in the pool, counted from 0, at least one"
        )
    return draws


def _prompts(count: int) -> str:
    return "one prompt votes" if count == 1 else f"{count} prompts vote"


def stacked(members: Sequence[PromptRecord], answers: Answers) -> Floats:
    """What the members say of the validation texts, [N, B, L]."""
    return np.stack([answers.unpacked(member.log_probs) for member in members])

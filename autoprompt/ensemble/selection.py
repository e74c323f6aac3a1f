"""Which prompts vote: the best few, a greedy draw, or those that disagree; and how many.

Everything here is decided on validation, from the predictions that the trials left in the store.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from safetensors.numpy import load

from autoprompt.config import Select
from autoprompt.evaluation.candidates import POOL, best_distinct
from autoprompt.statistics.intervals import Estimate, estimate
from autoprompt.statistics.significance import mcnemar
from autoprompt.store import PromptRecord
from autoprompt.workers.metric_functions import Labels
from autoprompt.workers.metrics import Metric
from autoprompt.workers.task import predictions
from autoprompt.workers.vote import Floats, Vote, cast_votes, vote_weights

#: Where no size is given, the largest that is tried; and how many draws a greedy choice has.
LARGEST = 9
DRAWS = 15

#: A candidate this unlikely to be as good as the best one is not asked to vote for being different.
_WORSE = 0.05


@dataclass(frozen=True)
class Chosen:
    """An ensemble.

    Attributes:
        members: the N prompts that vote, best first.
        weights: [N], what each one's vote counts.
        validation: what the vote scores on validation.
        note: why it is not what was asked for; None where it is.
        halves: of a greedy choice, the vote's score on the half of the validation texts that it was
            drawn on, and on the half that confirmed it.
    """

    members: list[PromptRecord]
    weights: list[float]
    vote: Vote
    select: Select
    validation: float
    note: str | None = None
    halves: tuple[Estimate, Estimate] | None = None

    @property
    def log_probs(self) -> Floats:
        """[N, B, L] of the validation texts."""
        return stacked(self.members)

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


@dataclass(frozen=True)
class _Pool:
    """The candidates, what they say of the validation texts, and what is right."""

    log_probs: Floats  # [N, B, L]
    labels: Labels  # [B]
    scores: list[float]
    metric: Metric
    vote: Vote

    def judged(self, draws: Sequence[int], texts: Labels | None = None) -> float:
        """The score of a vote of the drawn candidates, on all texts or some."""
        return self.metric.score(*self.voted(draws, texts))

    def voted(self, draws: Sequence[int], texts: Labels | None = None) -> tuple[Labels, Labels]:
        """What is right and what the drawn candidates say, of all texts or some."""
        texts = np.arange(len(self.labels)) if texts is None else texts
        numbers, weights = self.weighed(draws)
        return self.labels[texts], cast_votes(self.log_probs[numbers][:, texts], weights).labels

    def weighed(self, draws: Sequence[int]) -> tuple[list[int], list[float]]:
        """Each candidate that was drawn, best first, and the weight of its vote."""
        numbers = sorted(set(draws))
        counts = [list(draws).count(number) for number in numbers]
        return numbers, vote_weights(self.vote, counts, [self.scores[each] for each in numbers])


def choose(
    candidates: Sequence[PromptRecord],
    labels: Sequence[int],
    metric: Metric,
    size: int | None = None,
    vote: Vote = "majority",
    select: Select = "top",
) -> Chosen:
    """The ensemble among the candidates that differ from one another.

    It never scores less on validation than the best candidate alone: where the vote would, fewer
    of its members are chosen, or that candidate by itself, and a note says so.

    Args:
        candidates: best first.
        labels: [B], the right labels of the validation texts.
        size: how many vote, or as many as there are; with `greedy`, which draws some of them more
            than once, at most so many. None lets validation decide.
    """
    members = best_distinct(candidates, max(POOL, size or 0))
    pool = _Pool(
        stacked(members), np.array(labels), [member.score for member in members], metric, vote
    )
    draws = _greedy(pool, size) if select == "greedy" else _sized(pool, size, select)
    validation, alone = pool.judged(draws), pool.judged([0])
    note = None
    if validation < alone:
        # Fewer of the same, down to the best prompt by itself, which is no worse than itself.
        fewer = [[0], *(draws[:count] for count in range(1, len(draws)))]
        asked, missed = len(set(draws)), validation
        draws = max(fewer, key=lambda each: (pool.judged(each), len(set(each))))
        validation = pool.judged(draws)
        note = (
            f"{_prompts(len(set(draws)))}: a {vote} vote of {asked} by {select} scores "
            f"{missed:.4f} on validation, the best prompt alone {alone:.4f}"
        )
    elif len(set(draws)) == 1 and len(members) > 1 and size != 1:
        note = "one prompt votes: no vote of several scores as much on validation"
    halves = None
    if select == "greedy":
        drawn, confirmed = (
            estimate(metric, *pool.voted(draws, half)) for half in _halves(pool.labels)
        )
        halves = (drawn, confirmed)
    numbers, weights = pool.weighed(draws)
    chosen = [members[each] for each in numbers]
    return Chosen(chosen, weights, vote, select, validation, note, halves)


def _prompts(count: int) -> str:
    return "one prompt votes" if count == 1 else f"{count} prompts vote"


def stacked(members: Sequence[PromptRecord]) -> Floats:
    """What the members say of the validation texts, [N, B, L]."""
    return np.stack([load(member.log_probs)["log_probs"] for member in members])


def _sized(pool: _Pool, size: int | None, select: Select) -> list[int]:
    """So many in the order of their choice; without a size, as many as score no less than the best
    candidate alone. What one such size scores above another is noise, and more votes vary less."""
    count = len(pool.scores)
    longest = min(size or LARGEST, count)
    order = list(range(longest)) if select == "top" else _diverse(pool, longest)
    if size:
        return order
    alone = pool.judged([0])
    fewer = (order[:count] for count in range(len(order), 0, -1))
    return next(draws for draws in fewer if pool.judged(draws) >= alone)


def _diverse(pool: _Pool, size: int) -> list[int]:
    """The best candidate, then each time the one that most often says something else than those
    before it, among the candidates that are not clearly worse than the best."""
    said = predictions(pool.log_probs)
    right = said == pool.labels
    able = [
        number
        for number in range(len(said))
        if right[number].sum() >= right[0].sum() or mcnemar(right[0], right[number]) >= _WORSE
    ]
    order = [0]
    while len(order) < min(size, len(able)):
        rest = [number for number in able if number not in order]
        apart = [float((said[order] != said[number]).mean()) for number in rest]
        order.append(rest[int(np.argmax(apart))])
    return order


def _greedy(pool: _Pool, size: int | None) -> list[int]:
    """Caruana et al. 2004: draw, with replacement, whichever candidate makes the vote best.

    Drawn on one half of the validation texts; how many draws to keep is decided on the other, so
    that a draw which only fitted its own half is not kept.
    """
    drawn_on, confirmed_on = _halves(pool.labels)
    right = np.take_along_axis(pool.log_probs, pool.labels[None, :, None], axis=-1)[..., 0]
    sureness = right[:, drawn_on].mean(axis=1)
    draws: list[int] = []
    for _ in range(DRAWS):
        allowed = range(len(pool.scores))
        if size is not None and len(set(draws)) == size:
            allowed = sorted(set(draws))  # type: ignore[assignment]
        # Votes tie often on few texts; the surer candidate is the better bet.
        draws.append(
            max(allowed, key=lambda each: (pool.judged([*draws, each], drawn_on), sureness[each]))
        )
    kept = [draws[:count] for count in range(1, len(draws) + 1)]
    return max(kept, key=lambda each: (pool.judged(each, confirmed_on), len(each)))


def _halves(labels: Labels) -> tuple[Labels, Labels]:
    """Two halves of the texts, each with half of every label; always the same two."""
    shuffled = np.random.default_rng(0).permutation(len(labels))
    by_label = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return by_label[::2], by_label[1::2]

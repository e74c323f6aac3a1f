"""Finalists: the best trials, by their mean over seeds that the search did not try."""

from dataclasses import asdict, dataclass, replace
from statistics import mean, stdev
from typing import Any

from autoprompt.store import Store
from autoprompt.workers.direction import Direction


@dataclass(frozen=True)
class Finalist:
    """One trial's plan over several seeds; scores as the store has them, oriented.

    Attributes:
        search_score: what it had on validation in the search itself, by which it was picked.
        scores: on validation, with each other seed that did not fail.
        mean, spread: of these scores; the spread is their standard deviation.
    """

    number: int
    search_score: float
    scores: list[float]
    mean: float
    spread: float

    def natural(self, direction: Direction) -> "Finalist":
        """The same with scores to show."""
        shown = direction.natural
        return replace(
            self,
            search_score=shown(self.search_score),
            scores=[shown(score) for score in self.scores],
            mean=shown(self.mean),
        )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def finalists(store: Store, search_id: int) -> list[Finalist]:
    """The confirmed finalists, best mean first; one whose every repeat failed is left out."""
    repeats = store.confirmations(search_id)
    scored: dict[int, list[float]] = {}
    for repeat in repeats:
        if repeat.score is not None:
            scored.setdefault(repeat.number, []).append(repeat.score)
    known = {prompt.number: prompt.score for prompt in store.prompts(search_id, list(scored))}
    confirmed = [
        Finalist(
            number,
            known[number],
            scores,
            mean(scores),
            stdev(scores) if len(scores) > 1 else 0.0,
        )
        for number, scores in scored.items()
    ]
    return sorted(
        confirmed, key=lambda finalist: (-finalist.mean, -finalist.search_score, finalist.number)
    )

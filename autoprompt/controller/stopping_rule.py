"""What a stopping rule is: it watches trials climb their rungs, and ends those that are behind."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from autoprompt.store import TrialRecord
from autoprompt.workers.report import Report


@dataclass(frozen=True)
class Ladder:
    """The rungs that trials climb.

    Attributes:
        kinds: of prompts in the space.
        rungs: how many a whole trial has.
        reduction_factor: each rung is so many times as far as the one before it.
    """

    kinds: tuple[str, ...]
    rungs: int
    reduction_factor: int


class StoppingRule(ABC):
    """Says at each report whether a trial goes on. Higher scores are better.

    A trial that begins again, because its worker died, reports its first rungs once more.

    Attributes:
        ranks: whether it stops trials for being behind others: where a part of the validation texts
            judged a rung, it is asked through `PairedRule`.
    """

    ranks: bool = False

    @abstractmethod
    def enter(self, number: int, kind: str) -> None:
        """A trial begins, or begins again."""

    @abstractmethod
    def stops(self, number: int, rung: int, score: float) -> bool:
        """Whether a trial that reached a rung, counted from 1, ends there."""

    @abstractmethod
    def leave(self, number: int) -> None:
        """A trial is over, in whatever way; it may have left before."""

    def ends(self, report: Report) -> bool:
        """Whether a trial ends with a report: as `stops`, for a rule that looks at scores alone."""
        return self.stops(report.number, report.rung, report.score)

    def replay(
        self, past: Sequence[TrialRecord], log_probs: Mapping[tuple[int, int], bytes] | None = None
    ) -> "StoppingRule":
        """Take in the trials of a search that is resumed: those that ended.

        Args:
            log_probs: by trial and rung, predictions of those that a part of the texts judged.
        """
        for trial in past:
            if trial.ended:
                self.enter(trial.number, trial.kind)
                for rung in trial.rungs:
                    self.stops(trial.number, rung.rung, rung.score)
                self.leave(trial.number)
        return self


class NoStopping(StoppingRule):
    """Every trial runs to its end."""

    def __init__(self, ladder: Ladder | None = None) -> None:
        """The ladder is not looked at."""

    def enter(self, number: int, kind: str) -> None: ...

    def stops(self, number: int, rung: int, score: float) -> bool:
        return False

    def leave(self, number: int) -> None: ...


MakeRule = Callable[[Ladder], StoppingRule]

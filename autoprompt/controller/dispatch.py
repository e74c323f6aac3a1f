"""What happens, and in which order, when a worker is handed plans, reports, or dies.

An executor says what happened; all that follows from it is decided here, the same for every one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from autoprompt.controller.stopping_rule import StoppingRule
from autoprompt.search_spaces.errors import AutopromptError
from autoprompt.workers.report import Failure, Report, Step


@dataclass(eq=False)
class Task:
    """What a worker is handed: one trial, or several side by side.

    Attributes:
        trials: those that have not ended, each with its `number`, its `plan`, and what the source
            of plans and the ledger have to say to each other.
        deaths: how many workers have died of it since one of its trials last ended.
        under_way: a worker has begun it, and not died since.
    """

    trials: list[dict[str, Any]]
    deaths: int = 0
    under_way: bool = False

    @property
    def numbers(self) -> list[int]:
        return [trial["number"] for trial in self.trials]


class Change(NamedTuple):
    """What a worker is to do otherwise from now on.

    Attributes:
        over: the numbers of trials that go no further.
        begun: those that it takes on in their place.
    """

    over: list[int]
    begun: list[dict[str, Any]]


class PlanSource(Protocol):
    """Where plans come from; it may learn from what becomes of them."""

    def draw(self, count: int) -> list[dict[str, Any]]:
        """So many trials; fewer where there are no more."""

    def reported(self, report: Report) -> None:
        """A trial reached a rung, and may have ended there."""

    def failed(self, number: int) -> None:
        """A trial ended without an answer."""


class Ledger(Protocol):
    """Where it is written down."""

    def began(self, trial: dict[str, Any]) -> None: ...

    def reported(self, report: Report, step: Step) -> None: ...

    def failed(self, failure: Failure, step: Step | None = None) -> None:
        """A trial raised; without a step, the worker itself is gone."""

    def begins_again(self, number: int, why: str) -> None:
        """The worker died, and another will be handed the trial."""

    def ends(self, why: str) -> None:
        """Nothing more is begun, and what is under way ends at its next rung."""
        return


class Watcher(Protocol):
    """Who else wants to know of a run, and decides nothing."""

    def began(self, trial: dict[str, Any]) -> None:
        """A worker was handed a trial for the first time."""

    def looked(self, last: bool = False) -> None:
        """Called now and then while the run goes on, and for the last time at its end."""


class Limit(Protocol):
    """What may end a run before its trials are spent."""

    def reached(self, ended: int) -> str | None:
        """Why the run ends, in the past tense; None while it goes on. It is asked often.

        Args:
            ended: how many trials have ended in this run.
        """


class Dispatch:
    """One run over a source's plans.

    Args:
        count: how many trials the source has.
        together: how many a task holds; what ends in it is replaced as long as others go on.
        limits: what may end the run before.

    Attributes:
        error: why nothing more is written; the run ends with it.
        ending: why the run ends before its trials are spent; None where it does not.
        tasks: how many tasks there are at most.
    """

    def __init__(
        self,
        source: PlanSource,
        rule: StoppingRule,
        ledger: Ledger,
        *,
        count: int,
        together: int = 1,
        watchers: Sequence[Watcher] = (),
        limits: Sequence[Limit] = (),
    ) -> None:
        self._source = source
        self._rule = rule
        self._ledger = ledger
        self._together = together
        #: The numbers of trials that a worker was handed.
        self._handed: set[int] = set()
        self.watchers = tuple(watchers)
        self.tasks = math.ceil(count / together)
        self.error: AutopromptError | None = None
        self._limits = limits
        self._ended = 0
        self.ending: str | None = None

    def next(self) -> Task | None:
        """The next task; None where there is none."""
        trials = [] if self._is_ending() else self._source.draw(self._together)
        return Task(trials) if trials else None

    def began(self, task: Task) -> None:
        """A worker was handed the task, for the first time or again."""
        task.under_way = True
        for trial in task.trials:
            self._began(trial)

    def _began(self, trial: dict[str, Any]) -> None:
        number = trial["number"]
        self._rule.enter(number, trial["plan"]["kind"])
        self._write(self._ledger.began, trial)
        if number not in self._handed:
            self._handed.add(number)
            for watcher in self.watchers:
                watcher.began(trial)

    def reported(self, task: Task, step: Step) -> Change:
        """A worker reported."""
        over = []
        ending = self._is_ending()
        for report in step.reports:
            number = report.number
            if isinstance(report, Failure):
                self._rule.leave(number)
                self._source.failed(number)
                self._write(self._ledger.failed, report, step)
                over.append(number)
                continue
            stops = self._rule.ends(report) or ending
            report.stopped = stops and not report.ended
            if stops or report.ended:
                self._rule.leave(number)
                over.append(number)
            self._source.reported(report)
            self._write(self._ledger.reported, report, step)
        task.trials = [trial for trial in task.trials if trial["number"] not in over]
        self._ended += len(over)
        goes_on = task.trials and not self._is_ending()
        begun = self._source.draw(self._together - len(task.trials)) if goes_on else []
        for trial in begun:
            self._began(trial)
        task.trials += begun
        if over:
            task.deaths = 0
        return Change(over, begun)

    def died(self, task: Task, cause: str, *, again: bool) -> None:
        """A worker died.

        Args:
            again: the task's trials are handed to another; else they are given up, for the cause.
        """
        task.deaths += 1
        reason = _reason(cause)
        if again:
            task.under_way = False
            for number in task.numbers:
                self._write(self._ledger.begins_again, number, f"its worker died: {reason}")
            return
        times = f" ({task.deaths} times)" if task.deaths > 1 else ""
        self.give_up(task, f"its worker died{times}: {reason}", cause)

    def give_up(self, task: Task, why: str, trace: str = "") -> None:
        """End the task's trials as failed."""
        if not task.under_way:
            self.began(task)
        for number in task.numbers:
            self._rule.leave(number)
            self._source.failed(number)
            self._write(self._ledger.failed, Failure(number, why, trace, 0.0))
        self._ended += len(task.trials)
        task.trials = []

    def look(self, last: bool = False) -> None:
        """Time has passed; or the run has ended."""
        if not last:
            self._is_ending()
        for watcher in self.watchers:
            watcher.looked(last)

    def _is_ending(self) -> bool:
        """Whether the run ends before its trials are spent."""
        if self.ending is None:
            reasons = (limit.reached(self._ended) for limit in self._limits)
            self.ending = next(filter(None, reasons), None)
            if self.ending is not None:
                self._write(self._ledger.ends, self.ending)
        return self.ending is not None

    def _write(self, method: Any, *arguments: Any) -> None:
        """Once an outage of the store was too long, or another controller has taken over, nothing
        is written any more: an executor may go on for a moment and call trials failed that are
        not."""
        if self.error is None:
            try:
                method(*arguments)
                return
            except AutopromptError as error:
                self.error = error
        raise self.error


def _reason(cause: str) -> str:
    """In one line: a traceback says it in its last one."""
    lines = cause.strip().splitlines() or ["the process is gone"]
    return lines[-1 if "Traceback" in cause else 0].strip()

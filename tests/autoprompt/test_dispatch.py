"""What a dispatch makes of steps and deaths: who goes on, who is told, what is written."""

from typing import Any

import pytest

from autoprompt.controller.asha_scheduler import AshaByKind
from autoprompt.controller.callbacks.rerun_writer import Repeat
from autoprompt.controller.dispatch import Change, Dispatch, Ledger, PlanSource, Task, Watcher
from autoprompt.controller.reruns import carry_out
from autoprompt.controller.stopping_rule import Ladder
from autoprompt.search_spaces.errors import DatabaseLostError
from autoprompt.workers.report import Failure, Report, Step
from tests.reports import failure, report


class Source(PlanSource):
    """Has so many trials, of which the third is a hard one."""

    def __init__(self, count: int) -> None:
        self._trials = [
            {"number": number, "plan": {"kind": "hard" if number == 2 else "soft"}}
            for number in range(count)
        ]
        self.heard: list[tuple[int, str]] = []

    def draw(self, count: int) -> list[dict[str, Any]]:
        drawn, self._trials = self._trials[:count], self._trials[count:]
        return drawn

    def reported(self, report: Report) -> None:
        state = "complete" if report.ended else "pruned" if report.stopped else "running"
        self.heard.append((report.number, state))

    def failed(self, number: int) -> None:
        self.heard.append((number, "failed"))


class Lines(Ledger):
    """What was written, a line each."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.gone = False

    def _write(self, line: str) -> None:
        if self.gone:
            raise DatabaseLostError("gone")
        self.lines.append(line)

    def began(self, trial: dict[str, Any]) -> None:
        self._write(f"{trial['number']} began")

    def reported(self, report: Report, step: Step) -> None:
        self._write(f"{report.number} rung {report.rung}")

    def failed(self, failure: Failure, step: Step | None = None) -> None:
        self._write(f"{failure.number} failed: {failure.error}")

    def begins_again(self, number: int, why: str) -> None:
        self._write(f"{number} again: {why}")

    def ends(self, why: str) -> None:
        self._write(f"ends: {why}")


class Met(Watcher):
    """The numbers of the trials it was told of."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def began(self, trial: dict[str, Any]) -> None:
        self.numbers.append(trial["number"])

    def looked(self, last: bool = False) -> None: ...


class Desk:
    """A dispatch, its parts, and its first task, which a worker has begun."""

    def __init__(self, rungs: int = 3, count: int = 3) -> None:
        self.source, self.ledger = Source(count), Lines()
        rule = AshaByKind(Ladder(("soft", "hard"), rungs, 2))
        self.watcher = Met()
        self.dispatch = Dispatch(
            self.source, rule, self.ledger, count=count, together=3, watchers=[self.watcher]
        )
        self.task = self.next()

    def next(self) -> Task:
        task = self.dispatch.next()
        assert task is not None
        self.dispatch.began(task)
        self.ledger.lines.clear()
        return task

    def reports(self, *reports: Report | Failure) -> list[int]:
        """The trials that go no further."""
        return self.changed(*reports).over

    def changed(self, *reports: Report | Failure) -> Change:
        return self.dispatch.reported(self.task, Step(list(reports), "here:1"))


def test_each_trial_of_a_task_is_judged_by_itself() -> None:
    desk = Desk()
    first, second, third = report(0, 1, 0.8), report(1, 1, 0.6), report(2, 1, 0.1)
    assert desk.reports(first, second, third) == [1]
    assert [one.stopped for one in (first, second, third)] == [False, True, False]
    assert desk.task.numbers == [0, 2]
    assert desk.reports(failure(2)) == [2]
    assert desk.reports(report(0, 3, 0.9, "complete")) == [0]
    assert desk.task.trials == []
    states = [(0, "running"), (1, "pruned"), (2, "running"), (2, "failed"), (0, "complete")]
    assert desk.source.heard == states
    assert desk.dispatch.next() is None


def test_what_ends_is_replaced_while_others_go_on() -> None:
    desk = Desk(count=6)
    assert desk.dispatch.tasks == 2
    change = desk.changed(report(0, 1, 0.8), report(1, 1, 0.6), report(2, 1, 0.1))
    assert change.over == [1]
    assert [trial["number"] for trial in change.begun] == [3]
    assert desk.task.numbers == [0, 2, 3]
    assert desk.ledger.lines == ["0 rung 1", "1 rung 1", "2 rung 1", "3 began"]
    change = desk.changed(failure(0), failure(2), report(3, 1, 0.7))
    # The last of its kind: what is left is another task's.
    assert change == ([0, 2], [{"number": 4, "plan": {"kind": "soft"}}, desk.task.trials[-1]])
    assert desk.changed(*map(failure, (3, 4, 5))) == ([3, 4, 5], [])
    assert desk.dispatch.next() is None
    assert desk.watcher.numbers == list(range(6))


def test_a_task_that_ended_whole_is_followed_by_another() -> None:
    desk = Desk(count=4)
    assert desk.changed(*map(failure, range(3))) == ([0, 1, 2], [])
    assert desk.next().numbers == [3]


def test_deaths_are_counted_since_a_trial_last_ended() -> None:
    desk = Desk(count=4)
    desk.dispatch.died(desk.task, "killed", again=True)
    desk.dispatch.began(desk.task)
    desk.reports(failure(1))
    desk.dispatch.died(desk.task, "killed", again=False)
    assert desk.ledger.lines[-1] == "3 failed: its worker died: killed"
    assert desk.watcher.numbers == [0, 1, 2, 3], "once each"


def test_what_ended_by_itself_is_not_stopped() -> None:
    desk = Desk(rungs=1)
    best, worst = report(0, 1, 0.9, "complete"), report(1, 1, 0.1, "complete")
    assert desk.reports(best, worst) == [0, 1]
    assert (best.stopped, worst.stopped) == (False, False)


def test_only_what_was_under_way_begins_again() -> None:
    desk = Desk()
    desk.reports(report(0, 1, 0.8), failure(1))
    desk.ledger.lines.clear()
    desk.dispatch.died(desk.task, "killed by the kernel\nmore", again=True)
    desk.dispatch.began(desk.task)
    assert not desk.reports(report(0, 1, 0.8), report(2, 1, 0.5))
    why = "its worker died: killed by the kernel"
    assert desk.ledger.lines == [
        f"0 again: {why}",
        f"2 again: {why}",
        "0 began",
        "2 began",
        "0 rung 1",
        "2 rung 1",
    ]


def test_a_task_whose_workers_die_too_often_fails_with_the_cause() -> None:
    desk = Desk()
    trace = "ray::TrialRunner\nTraceback (most recent call last):\nOSError: the device broke"
    desk.dispatch.died(desk.task, trace, again=True)
    desk.ledger.lines.clear()
    # The next worker dies before it begins; the trials have to be known to be given up.
    desk.dispatch.died(desk.task, trace, again=False)
    assert desk.ledger.lines == ["0 began", "1 began", "2 began"] + [
        f"{number} failed: its worker died (2 times): OSError: the device broke"
        for number in range(3)
    ]
    assert desk.source.heard == [(0, "failed"), (1, "failed"), (2, "failed")]
    assert desk.task.trials == []


def test_nothing_more_is_written_once_the_store_is_lost() -> None:
    desk = Desk()
    desk.ledger.gone = True
    with pytest.raises(DatabaseLostError):
        desk.reports(report(0, 1, 0.8))
    desk.ledger.gone = False
    # An executor that goes on for a moment calls trials failed that are not.
    with pytest.raises(DatabaseLostError):
        desk.dispatch.give_up(desk.task, "hung")
    assert desk.ledger.lines == []
    assert isinstance(desk.dispatch.error, DatabaseLostError)


@pytest.mark.parametrize(("refill", "begun"), [(True, [2]), (False, [])])
def test_runs_that_belong_together_are_joined_by_no_other(refill: bool, begun: list[int]) -> None:
    class Watched:
        """Has the first of two runs end by itself."""

        def run(self, dispatch: Dispatch, job: Any, name: str) -> bool:
            task = dispatch.next()
            assert task is not None
            dispatch.began(task)
            first = Step([report(task.numbers[0], 1, 0.5, "complete")], "here")
            assert [trial["number"] for trial in dispatch.reported(task, first).begun] == begun
            return True

    runs = {number: Repeat(number, 1, {"kind": "soft"}) for number in range(4)}
    carry_out(Runs(runs), Watched(), None, "four", 2, refill)  # type: ignore[arg-type]


class Runs(Lines):
    """Lines of runs."""

    def __init__(self, runs: dict[int, Repeat]) -> None:
        super().__init__()
        self.runs = runs

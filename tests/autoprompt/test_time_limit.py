"""A search ends when its time is over, with what it has found, and says so wherever it is read."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import autoprompt
from autoprompt.config import SearchConfig
from autoprompt.controller.callbacks.store_writer import StoreWriter
from autoprompt.controller.dispatch import Dispatch
from autoprompt.controller.in_process import InProcessExecutor
from autoprompt.controller.resume import settle
from autoprompt.controller.runner import create_search, run_trials, trial_dispatch
from autoprompt.controller.stopping_rule import NoStopping
from autoprompt.controller.time_limit import TimeLimit, seconds_run
from autoprompt.preparation.prepare import Prepared, prepare
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces.errors import SearchFailedError
from autoprompt.store import State, Store, TrialRecord
from autoprompt.workers.report import Step
from tests.autoprompt.test_dispatch import Lines, Source
from tests.conftest import write_yaml
from tests.reports import failure, report

QUIET = SearchProgress(quiet=True)
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def limited(clock: Clock, seconds: float, used: float = 0.0) -> tuple[Dispatch, Lines]:
    """A dispatch that its executor asks for the first task later, when the time begins."""
    lines = Lines()
    limits = [TimeLimit(seconds, used, clock)]
    made = Dispatch(Source(8), NoStopping(), lines, count=8, together=2, limits=limits)
    clock.now = 1000
    return made, lines


def test_what_is_under_way_ends_at_its_next_rung_and_nothing_more_begins() -> None:
    clock = Clock()
    dispatch, _ = limited(clock, 10)
    task = dispatch.next()
    assert task is not None
    dispatch.began(task)
    clock.now += 9
    change = dispatch.reported(task, Step([failure(0)], "here"))
    assert [trial["number"] for trial in change.begun] == [2]
    clock.now += 1
    first, second = report(1, 1, 0.5), report(2, 3, 0.6, "complete")
    assert dispatch.reported(task, Step([first], "here")) == ([1], [])
    assert dispatch.reported(task, Step([second], "here")) == ([2], [])
    assert (first.stopped, second.stopped) == (True, False)
    assert dispatch.next() is None
    assert dispatch.ending == "its time limit of 10 s was over"


def test_the_end_of_the_time_is_noticed_while_trials_run() -> None:
    clock = Clock()
    dispatch, lines = limited(clock, 10, used=4)
    assert dispatch.next() is not None
    clock.now += 5
    dispatch.look()
    assert dispatch.ending is None
    clock.now += 1
    dispatch.look()
    dispatch.look()
    assert dispatch.ending is not None
    assert lines.lines == ["ends: its time limit of 10 s was over"]


def ran(begin: float, end: float | None, attempts: int = 1, seconds: float = 0.0) -> TrialRecord:
    at = [None if moment is None else BEGAN + timedelta(seconds=moment) for moment in (begin, end)]
    blank: dict[str, Any] = dict.fromkeys(TrialRecord.__dataclass_fields__)
    given = {"started_at": at[0], "finished_at": at[1], "attempts": attempts, "seconds": seconds}
    return TrialRecord(**(blank | given))


@pytest.mark.parametrize(
    ("trials", "seconds"),
    [
        ([], 0),
        ([ran(0, 10), ran(5, 12), ran(20, 21)], 13),
        ([ran(0, 10), ran(2, 4)], 10),
        # It waited for a day before it began again, and its controller died in the end.
        ([ran(0, 86400, attempts=2, seconds=30)], 30),
        ([ran(5, None, seconds=7)], 7),
    ],
)
def test_the_time_that_trials_ran(trials: list[TrialRecord], seconds: float) -> None:
    assert seconds_run(trials) == seconds


def timed(config: dict[str, Any], folder: Path, seconds: float) -> Prepared:
    config["search"] |= {"time_limit": seconds, "trials": 20, "stopping": "none"}
    return prepare(SearchConfig.read(write_yaml(folder / "search.yaml", config)), QUIET)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.usefixtures("shared_ray")
def test_a_search_concludes_with_what_it_has_and_says_why(
    workers: int, tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    tiny_config["search"] |= {"trials": 9999, "workers": workers}
    config = SearchConfig.read(write_yaml(tmp_path / "search.yaml", tiny_config))
    result = autoprompt.search(config, time_limit="2s", quiet=True)
    assert result.state == State.FINISHED
    assert result.config.search.time_limit == 2
    assert 0 < len(result.trials) < 9999
    assert {trial.state for trial in result.trials} <= {State.COMPLETE, State.PRUNED}
    told = f"the search ended after {len(result.trials)} of 9999 trials: its time limit of 2 s was"
    assert result.as_dict()["warnings"][0] == f"{told} over"
    assert result.test is not None


def test_a_resumed_search_has_what_is_left_and_keeps_what_was_reported(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    prepared = timed(tiny_config, tmp_path, 60)
    store = Store.open(tiny_config["store"])
    search = create_search(prepared, store)
    ledger = StoreWriter(store, search.id, QUIET)
    dispatch = trial_dispatch(prepared.config, search, ledger)
    for reports in ([report(0, 1, 0.7, seconds=61)], []):
        task = dispatch.next()
        assert task is not None
        dispatch.began(task)
        dispatch.reported(task, Step(list(reports), "here"))
    # Killed here: one trial had reported, and ran for longer than the limit.
    past = settle(store, search, 3, QUIET)
    executor = InProcessExecutor(1, QUIET)
    run_trials(prepared, store, search, executor, QUIET, past)
    assert [trial.state for trial in store.trials(search.id)] == [State.PRUNED, State.RUNNING]
    ended = store.find(str(search.id)).versions["ended"]
    assert ended == "the search ended after 1 of 20 trials: its time limit of 60 s was over"
    # Killed once more: it is not asked again.
    again = replace(search, versions=search.versions | {"ended": ended})
    run_trials(prepared, store, again, executor, QUIET, settle(store, search, 3, QUIET))
    assert len(store.trials(search.id)) == 2


def test_a_resumed_search_without_a_score_says_that_its_time_is_over(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    prepared = timed(tiny_config, tmp_path, 60)
    store = Store.open(tiny_config["store"])
    search = create_search(prepared, store)
    store.update_search(search.id, versions=search.versions | {"ended": "its time is over"})
    store.finish_search(search.id, State.STOPPED)
    with pytest.raises(SearchFailedError, match=r"has no trial with a score: its time is over$"):
        autoprompt.resume("latest", db=tiny_config["store"], quiet=True)

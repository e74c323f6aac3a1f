"""A database that goes away, fills up or is locked: what was reported is there, once."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import autoprompt
from autoprompt import api
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces.errors import DatabaseLostError
from autoprompt.store import Store
from tests.autoprompt.test_store import report, search_fields, start
from tests.conftest import write_yaml
from tests.postgresql import PASSWORD, CuttingProxy, PostgreSql

PATIENCE = 60.0

#: More than a page of any database.
LARGE = {"content": b"p" * 40_000}


class Said:
    """What the store said, and a wait for it to say something."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._more = threading.Event()

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        self._more.set()

    def wait(self) -> None:
        assert self._more.wait(PATIENCE), "no outage was noticed"


@pytest.fixture
def said() -> Said:
    return Said()


def while_out(said: Said, repair: Callable[[], object]) -> threading.Thread:
    """Repair once the outage was noticed."""

    def run() -> None:
        said.wait()
        repair()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def write_trials(store: Store, search_id: int, numbers: range, **prompt: Any) -> None:
    for number in numbers:
        start(store, search_id, number)
        for rung in (1, 2, 3):
            report(store, search_id, number, rung, 0.1 * rung, **prompt)
        store.finish_trial(search_id, number, "complete")


def check_trials(url: str, count: int) -> None:
    """Every rung of every trial is there, and counted, once."""
    store = Store.open(url)
    trials = store.trials(store.find("latest").id)
    store.close()
    assert [trial.number for trial in trials] == list(range(count))
    for trial in trials:
        assert [rung.rung for rung in trial.rungs] == [1, 2, 3]
        assert (trial.seconds, trial.texts_encoded, trial.state) == (6.0, 15, "complete")


@pytest.mark.parametrize("how", ["stop", "crash"])
def test_postgresql_goes_in_the_middle_of_writes_and_comes_back(
    postgresql: PostgreSql, said: Said, how: str
) -> None:
    url = postgresql.database()
    store = Store.open(url, patience=PATIENCE, say=said)
    search = store.create_search(**search_fields())
    write_trials(store, search.id, range(2))
    breaking = threading.Thread(target=getattr(postgresql, how))
    breaking.start()

    def repair() -> None:
        breaking.join()
        postgresql.start()

    repairing = while_out(said, repair)
    number = 2
    while repairing.is_alive() or number < 4:
        write_trials(store, search.id, range(number, number + 1))
        number += 1
    repairing.join()
    store.close()
    check_trials(url, number)
    assert "trying again for 60 s" in said.lines[0]
    assert "answers again" in said.lines[-1]
    assert PASSWORD not in "".join(said.lines)


def test_an_answer_lost_with_its_connection_is_not_stored_twice(
    postgresql: PostgreSql, said: Said
) -> None:
    """Every third COMMIT reaches the server, and its answer nobody."""
    url = postgresql.database()
    with CuttingProxy(postgresql.port, every=3) as proxy:
        through = sa.make_url(url).set(port=proxy.port).render_as_string(hide_password=False)
        store = Store.open(through, patience=PATIENCE, say=said)
        search = store.create_search(**search_fields())
        write_trials(store, search.id, range(5))
        for number in range(5, 8):
            start(store, search.id, number)
            store.fail_trial(search.id, number, "boom", seconds=2.0)
        opening = store.open_evaluation(search.id, source="test")
        store.record_evaluation(search.id, opening, {"texts": 3})
        store.close()
        assert proxy.cut > 8
    store = Store.open(url)
    failed = store.trials(search.id)[5:]
    assert [(trial.seconds, trial.error) for trial in failed] == [(2.0, "boom")] * 3
    assert len(store.searches()) == len(store.evaluations(search.id)) == 1
    with store.database.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM trials WHERE number >= 5"))
    store.close()
    check_trials(url, 5)


def test_an_outage_without_end_is_one_clear_error(postgresql: PostgreSql, said: Said) -> None:
    url = postgresql.database()
    store = Store.open(url, patience=0.5, say=said)
    search = store.create_search(**search_fields())
    write_trials(store, search.id, range(2))
    postgresql.stop()
    try:
        for _ in range(2):
            with pytest.raises(DatabaseLostError, match=r"does not answer for .*refused") as caught:
                start(store, search.id, 2)
            assert PASSWORD not in str(caught.value)
            assert "\n" not in str(caught.value)
        assert len(said.lines) == 1, "the second attempt waited again"
    finally:
        postgresql.start()
    check_trials(url, 2)
    start(store, search.id, 2)
    assert "answers again" in said.lines[-1]
    store.close()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[tuple[str, Callable[[int], None]]]:
    """A SQLite database, and how to set the most pages of it that fit."""
    pages = 2**30

    @sa.event.listens_for(sa.Engine, "checkout")
    def limit(connection: Any, *_: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute(f"PRAGMA max_page_count={pages}")

    def room(count: int) -> None:
        nonlocal pages
        pages = count

    yield f"sqlite:///{tmp_path / 'store.db'}", room
    sa.event.remove(sa.Engine, "checkout", limit)


def test_a_full_disk_is_waited_for(
    full_disk: tuple[str, Callable[[int], None]], said: Said
) -> None:
    url, room = full_disk
    store = Store.open(url, patience=PATIENCE, say=said)
    search = store.create_search(**search_fields())
    room(60)
    repairing = while_out(said, lambda: room(2**30))
    write_trials(store, search.id, range(20), **LARGE)
    repairing.join()
    store.close()
    check_trials(url, 20)
    assert "is full" in said.lines[0]


def test_a_full_disk_that_stays_full_keeps_what_was_stored(
    full_disk: tuple[str, Callable[[int], None]], said: Said, tmp_path: Path
) -> None:
    url, room = full_disk
    store = Store.open(url, patience=0.3, say=said)
    search = store.create_search(**search_fields())
    room(60)
    with pytest.raises(DatabaseLostError, match="is full"):
        write_trials(store, search.id, range(20), **LARGE)
    store.close()
    with sqlite3.connect(tmp_path / "store.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    store = Store.open(url)
    *whole, last = store.trials(search.id)
    assert len(whole) > 1
    assert all(trial.state == "complete" and len(trial.rungs) == 3 for trial in whole)
    assert [rung.rung for rung in last.rungs] == [*range(1, len(last.rungs) + 1)]
    assert last.seconds == 2.0 * len(last.rungs), "a rung was stored by halves"
    store.close()


def test_a_lock_held_for_longer_than_sqlite_waits(tmp_path: Path, said: Said) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}?timeout=0.05"
    store = Store.open(url, patience=PATIENCE, say=said)
    search = store.create_search(**search_fields())
    other = sqlite3.connect(tmp_path / "store.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    repairing = while_out(said, lambda: other.execute("ROLLBACK"))
    write_trials(store, search.id, range(1))
    repairing.join()
    other.close()
    store.close()
    check_trials(url, 1)
    assert "locked" in said.lines[0]


@pytest.mark.usefixtures("shared_ray")
def test_a_search_rides_out_an_outage(
    tiny_config: dict[str, Any],
    tmp_path: Path,
    postgresql: PostgreSql,
    said: Said,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PostgreSQL crashes when the second trial ends, and starts once that was noticed."""
    url = postgresql.database()

    def trial_ended(self: SearchProgress, number: int, *rest: Any) -> None:
        if number == 1:
            postgresql.crash()

    monkeypatch.setattr(SearchProgress, "trial_ended", trial_ended)
    monkeypatch.setattr(SearchProgress, "say", lambda self, line: "database" in line and said(line))
    repairing = while_out(said, postgresql.start)
    tiny_config["search"]["workers"] = 1
    path = write_yaml(tmp_path / "search.yaml", tiny_config)
    result = autoprompt.search(path, db=url, quiet=True)
    repairing.join()
    assert result.state == "finished"
    assert [trial.number for trial in result.trials] == list(range(6))
    assert result.counts["complete"] + result.counts["pruned"] == 6
    for trial in result.trials:
        assert [rung.rung for rung in trial.rungs] == [*range(1, len(trial.rungs) + 1)]
    assert "trying again" in said.lines[0]
    assert "answers again" in said.lines[-1]


@pytest.mark.usefixtures("shared_ray")
def test_a_search_whose_database_stays_away_ends_and_keeps_what_was_reported(
    tiny_config: dict[str, Any],
    tmp_path: Path,
    postgresql: PostgreSql,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = postgresql.database()

    def trial_ended(self: SearchProgress, number: int, *rest: Any) -> None:
        if number == 1:
            postgresql.stop()

    monkeypatch.setattr(SearchProgress, "trial_ended", trial_ended)
    monkeypatch.setattr(api, "PATIENCE_SECONDS", 0.5)
    tiny_config["search"]["workers"] = 1
    path = write_yaml(tmp_path / "search.yaml", tiny_config)
    try:
        with pytest.raises(DatabaseLostError, match="does not answer") as caught:
            autoprompt.search(path, db=url, quiet=True)
    finally:
        postgresql.start()
    assert caught.value.exit_code == 1
    assert PASSWORD not in str(caught.value)
    result = autoprompt.load(db=url)
    ended = [trial for trial in result.trials if trial.state in ("complete", "pruned")]
    assert [trial.number for trial in ended] == [0, 1]
    assert all(trial.rungs and trial.prompt for trial in ended)
    assert result.counts["failed"] == 0, "an outage is no trial's fault"

"""The store: what is written is there once, what is wrong is refused, nothing is half-written."""

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext

import autoprompt.store
from autoprompt.store import Store
from autoprompt.store.tables import Base
from search_spaces.errors import BadInputError, SearchNotFoundError, SearchTakenError, StoreError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(f"sqlite:///{tmp_path / 'store.db'}")


def search_fields(name: str = "one", **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "model": "m",
        "metric": "accuracy",
        "seed": 0,
        "config": {"space": {}},
        "versions": {"torch": "2"},
        "data": {"train": 4},
        "validation_labels": [0, 1],
        "ensemble": None,
    } | changes


def start(store: Store, search_id: int, number: int) -> None:
    store.start_trial(
        search_id, number, kind="soft", plan={"kind": "soft"}, params={"a": 1}, distributions={}
    )


def report(
    store: Store, search_id: int, number: int, rung: int, score: float, digest: str = "d"
) -> None:
    store.record_rung(
        search_id,
        number,
        {"rung": rung, "step": rung, "score": score, "loss": 1 - score, "train_loss": 0.5}
        | {"seconds": 2.0},
        {"digest": digest, "text": f"at {rung}", "content": b"p", "log_probs": b"l"},
        {"worker": "host:1", "models_loaded": 1, "texts_encoded": 5},
    )


def test_the_migrations_make_exactly_the_mapped_tables(store: Store) -> None:
    with store._engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []


def test_sqlite_is_set_to_wal_with_foreign_keys(store: Store) -> None:
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_a_trial_keeps_every_rung_and_the_prompt_of_the_best(store: Store) -> None:
    search = store.create_search(**search_fields())
    start(store, search.id, 0)
    for rung, score in ((1, 0.6), (2, 0.8), (3, 0.7)):
        report(store, search.id, 0, rung, score)
    store.finish_trial(search.id, 0, "complete")
    (trial,) = store.trials(search.id)
    assert [(rung.rung, rung.score) for rung in trial.rungs] == [(1, 0.6), (2, 0.8), (3, 0.7)]
    assert (trial.score, trial.prompt, trial.state) == (0.8, "at 2", "complete")
    assert (trial.seconds, trial.models_loaded, trial.texts_encoded) == (6.0, 3, 15)
    assert store.best_score(search.id) == 0.8
    assert store.counts(search.id) == {
        "running": 0, "complete": 1, "pruned": 0, "failed": 0, "stopped": 0,
    }  # fmt: skip


def test_the_same_rung_is_not_counted_twice(store: Store) -> None:
    search = store.create_search(**search_fields())
    start(store, search.id, 0)
    report(store, search.id, 0, 1, 0.6)
    with pytest.raises(sa.exc.IntegrityError):
        report(store, search.id, 0, 1, 0.9)
    (trial,) = store.trials(search.id)
    assert (trial.score, trial.seconds, len(trial.rungs)) == (0.6, 2.0, 1)
    with pytest.raises(sa.exc.IntegrityError):
        start(store, search.id, 0)


def test_prompts_come_best_first_and_failed_trials_bring_none(store: Store) -> None:
    search = store.create_search(**search_fields())
    for number, score in enumerate((0.6, 0.9, 0.9, 0.7)):
        start(store, search.id, number)
        report(store, search.id, number, 1, score, digest=f"d{number}")
        store.finish_trial(search.id, number, "complete")
    store.fail_trial(search.id, 1, "boom", "trace")
    assert [prompt.number for prompt in store.prompts(search.id)] == [2, 3, 0]
    assert [prompt.number for prompt in store.prompts(search.id, limit=1)] == [2]
    assert [prompt.number for prompt in store.prompts(search.id, [0, 3])] == [3, 0]


def test_finishing_a_search_leaves_no_trial_running(store: Store) -> None:
    search = store.create_search(**search_fields())
    start(store, search.id, 0)
    report(store, search.id, 0, 1, 0.6)
    store.finish_search(search.id, "stopped", "Ctrl-C")
    (trial,) = store.trials(search.id)
    assert (trial.state, trial.note) == ("stopped", "the search stopped first")
    assert [prompt.number for prompt in store.prompts(search.id)] == [0], "its rung is lost"
    assert store.find("latest").error == "Ctrl-C"


def test_a_trial_that_begins_again_keeps_its_rungs(store: Store) -> None:
    search = store.create_search(**search_fields())
    start(store, search.id, 0)
    report(store, search.id, 0, 1, 0.6)
    store.finish_search(search.id, "stopped")
    store.restart_trial(search.id, 0, "resumed")
    (trial,) = store.trials(search.id)
    assert (trial.state, trial.attempts, trial.note) == ("running", 2, "resumed")
    assert len(trial.rungs) == 1
    assert trial.finished_at is None


def test_a_search_has_one_controller(store: Store) -> None:
    search = store.create_search(**search_fields())
    other = Store(store._engine)
    assert store.claim_search(search.id, "a:1", search.heartbeat_at)
    seen = store.find("latest").heartbeat_at
    assert seen is not None
    assert not other.claim_search(search.id, "b:2", None), "it gave a sign of life since"
    assert store.beat(search.id)
    assert not other.claim_search(search.id, "b:2", seen)
    assert other.claim_search(search.id, "b:2", store.find("latest").heartbeat_at)
    start(other, search.id, 0)
    assert not store.beat(search.id)
    for write in (
        lambda: start(store, search.id, 1),
        lambda: report(store, search.id, 0, 1, 0.5),
        lambda: store.finish_search(search.id, "stopped"),
    ):
        with pytest.raises(SearchTakenError, match="taken over"):
            write()
    assert store.find("latest").state == "running"
    (trial,) = store.trials(search.id)
    assert (trial.state, trial.rungs) == ("running", [])


def test_every_opening_of_held_out_texts_is_kept(store: Store) -> None:
    one = store.create_search(**search_fields("one"))
    two = store.create_search(**search_fields("two"))
    opening = {"source": "test", "purpose": "search", "opened_by": "me@here"}
    first = store.open_evaluation(one.id, fingerprint="abc", **opening)
    assert [each.result for each in store.evaluations(one.id)] == [None]
    store.record_evaluation(one.id, first, {"texts": 3})
    store.open_evaluation(one.id, fingerprint="abc", **opening)
    store.open_evaluation(two.id, fingerprint="abc", **opening | {"source": "a.csv"})
    store.open_evaluation(two.id, fingerprint="xyz", **opening)
    assert [each.result for each in store.evaluations(one.id)] == [{"texts": 3}, None]
    same = store.evaluations(fingerprint="abc")
    assert [(each.search, each.source) for each in same] == [
        ("one", "test"),
        ("one", "test"),
        ("two", "a.csv"),
    ]
    assert same[0].opened_by == "me@here"


def test_a_finalists_repeats_are_no_trials(store: Store) -> None:
    search = store.create_search(**search_fields())
    start(store, search.id, 0)
    report(store, search.id, 0, 1, 0.6)
    store.finish_trial(search.id, 0, "complete")
    fields = {"seed": 5, "loss": 0.5, "seconds": 1.0, "worker": "w", "error": None}
    store.record_confirmation(search.id, 0, repeat=2, score=0.9, **fields)
    store.record_confirmation(search.id, 0, repeat=1, score=0.5, **fields)
    found = store.confirmations(search.id)
    assert [(each.number, each.repeat, each.score) for each in found] == [(0, 1, 0.5), (0, 2, 0.9)]
    assert sum(store.counts(search.id).values()) == 1
    assert store.best_score(search.id) == 0.6
    with pytest.raises(sa.exc.IntegrityError):
        store.record_confirmation(search.id, 0, repeat=2, score=0.9, **fields)


def test_a_store_of_the_first_schema_keeps_its_evaluations(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    url = f"sqlite:///{path}"
    search = Store.open(url).create_search(**search_fields())
    migrate(url, "0001")
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO evaluations (search_id, split, opened_at, result) "
            "VALUES (1, 'test', '2026-01-01 00:00:00', '{\"texts\": 3}')"
        )
    (kept,) = Store.open(url).evaluations(search.id)
    assert (kept.source, kept.result, kept.opened_by) == ("test", {"texts": 3}, None)


def migrate(url: str, revision: str) -> None:
    """Take a database back to an earlier revision."""
    config = AlembicConfig()
    folder = Path(autoprompt.store.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)
    engine.dispose()


def test_a_search_is_found_by_id_name_and_latest(store: Store) -> None:
    first = store.create_search(**search_fields("one"))
    second = store.create_search(**search_fields("two"))
    assert store.find("one") == store.find(str(first.id)) == first
    assert store.find("latest") == second
    assert [search.name for search in store.searches()] == ["two", "one"]
    assert store.free_name("one") == "one-2"
    assert store.free_name("three") == "three"
    with pytest.raises(SearchNotFoundError, match="no search 'nine'"):
        store.find("nine")
    with pytest.raises(BadInputError, match="'one' exists"):
        store.create_search(**search_fields("one"))


def test_several_searches_write_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    Store.open(url).close()
    errors: list[BaseException] = []

    def write(name: str) -> None:
        try:
            store = Store.open(url)
            search = store.create_search(**search_fields(name))
            for number in range(10):
                start(store, search.id, number)
                report(store, search.id, number, 1, 0.5)
                store.finish_trial(search.id, number, "complete")
        except BaseException as error:  # a thread's error would be lost
            errors.append(error)

    threads = [threading.Thread(target=write, args=(f"s{index}",)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    store = Store.open(url)
    assert [store.counts(search.id)["complete"] for search in store.searches()] == [10] * 4


def test_a_database_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text(
        "not a database at all, but long enough to be read as one" * 20
    )
    for url, words in (
        (f"sqlite:///{tmp_path / 'text.db'}", "not a database"),
        (f"sqlite:///{tmp_path / 'none' / 'a.db'}", "no folder"),
        (f"sqlite:///{tmp_path}", "unable to open"),
        ("nonsense", "not a database URL"),
        ("oracle2://host/db", "unknown kind"),
    ):
        with pytest.raises(StoreError, match=words):
            Store.open(url)


def test_a_password_is_never_shown() -> None:
    with pytest.raises(StoreError) as caught:
        Store.open("nosuchdb://user:hunter2@host/db")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(StoreError) as caught:
        Store.open("postgresql+psycopg://user:hunter2@127.0.0.1:1/db")
    assert "hunter2" not in str(caught.value)


def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    Store.open(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="newer version of autoprompt"):
        Store.open(f"sqlite:///{path}")


def test_reading_does_not_make_a_database(tmp_path: Path) -> None:
    with pytest.raises(SearchNotFoundError, match="no such file"):
        Store.open(f"sqlite:///{tmp_path / 'none.db'}", create=False)
    assert not (tmp_path / "none.db").exists()

"""The schema's versions: a database made by the oldest is brought to the newest with all in it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from autoprompt.search_spaces.errors import StoreError
from autoprompt.store import Database, Store, read_schema, upgrade
from autoprompt.store.tables import Base
from tests.autoprompt.test_store import search_fields

#: Rows as the first version wrote them, table by table; ids count from 1.
OLDEST = {
    "searches": [
        {
            "name": "old", "state": "finished", "model": "m", "metric": "accuracy",
            "seed": 3, "config": {"space": {}}, "versions": {"torch": "2"}, "data": {"train": 4},
            "validation_labels": [0, 1], "error": None, "started_at": "2026-01-02 03:04:05+00:00",
            "finished_at": "2026-01-02 03:14:05+00:00", "ensemble": {"members": [1]},
        },
    ],
    "trials": [
        {
            "search_id": 1, "number": number, "kind": "soft", "state": state,
            "plan": {"kind": "soft"}, "params": {"a": 1}, "distributions": {}, "score": score,
            "loss": 0.5, "seconds": 2.5, "models_loaded": 1, "texts_encoded": 5, "worker": "h:1",
            "error": error, "traceback": None, "started_at": "2026-01-02 03:04:06+00:00",
            "finished_at": "2026-01-02 03:05:06+00:00",
        }
        for number, state, score, error in (
            (0, "complete", 0.6, None), (1, "pruned", 0.9, None), (2, "failed", None, "boom"),
        )
    ],
    "rungs": [
        {
            "trial_id": trial, "rung": rung, "step": rung * 10, "score": 0.1 * rung, "loss": 0.5,
            "train_loss": 0.4, "seconds": 1.25, "reported_at": "2026-01-02 03:04:30+00:00",
        }
        for trial in (1, 2)
        for rung in (1, 2)
    ],
    "prompts": [
        {
            "trial_id": trial, "rung": 2, "digest": f"d{trial}", "text": f"prompt {trial}",
            "content": b"\x00p", "log_probs": b"\x00l",
        }
        for trial in (1, 2)
    ],
    "evaluations": [
        {
            "search_id": 1, "split": "test", "opened_at": "2026-01-02 03:13:05+00:00",
            "result": {"texts": 3},
        },
    ],
}  # fmt: skip


@pytest.fixture
def oldest(db: str) -> str:
    """A database at the first version, filled by plain SQL: today's tables had no part in it."""
    database = Database.at(db)
    upgrade(database, to="0001")
    with database.engine.connect().execution_options(writes=True) as connection, connection.begin():
        for table, rows in OLDEST.items():
            values = ", ".join(f":{name}" for name in rows[0])
            insert = f"INSERT INTO {table} ({', '.join(rows[0])}) VALUES ({values})"  # noqa: S608
            for row in rows:
                cells = {
                    name: json.dumps(cell) if isinstance(cell, (dict, list)) else cell
                    for name, cell in row.items()
                }
                connection.execute(sa.text(insert), cells)
    database.close()
    return db


@pytest.fixture
def database(db: str) -> Iterator[Database]:
    database = Database.at(db)
    yield database
    database.close()


def test_the_migrations_make_exactly_the_mapped_tables(database: Database) -> None:
    upgrade(database)
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_a_database_of_the_oldest_version_is_upgraded_with_all_in_it(oldest: str) -> None:
    with pytest.raises(StoreError, match=r"older autoprompt \(schema 0001.*autoprompt db upgrade"):
        Store.open(oldest)
    database = Database.at(oldest)
    assert upgrade(database).current == "0001"
    assert read_schema(database).state == "current"
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        for table, rows in OLDEST.items():
            count = sa.select(sa.func.count()).select_from(sa.table(table))
            assert connection.scalar(count) == len(rows), table
    database.close()

    store = Store.open(oldest)
    search = store.find("old")
    assert (search.id, search.config, search.ensemble) == (1, {"space": {}}, {"members": [1]})
    assert search.started_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert store.validation_labels(1) == [0, 1]
    trials = store.trials(1)
    assert [trial.state for trial in trials] == ["complete", "pruned", "failed"]
    assert [len(trial.rungs) for trial in trials] == [2, 2, 0]
    assert {rung.judged for trial in trials for rung in trial.rungs} == {None}
    assert [trial.prompt for trial in trials] == ["prompt 1", "prompt 2", None]
    assert trials[2].error == "boom"
    assert [prompt.number for prompt in store.prompts(1)] == [1, 0]
    assert store.prompts(1)[0].content == b"\x00p"
    (opening,) = store.evaluations(1)
    assert (opening.source, opening.result, opening.opened_by) == ("test", {"texts": 3}, None)

    assert store.create_search(**search_fields("new")).id == 2
    store.close()


def test_an_upgrade_that_fails_leaves_the_database_as_it_was(
    oldest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last migration raises after the others have run."""
    from alembic.runtime.environment import EnvironmentContext

    run = EnvironmentContext.run_migrations

    def run_and_fail(self: EnvironmentContext, **options: object) -> None:
        run(self, **options)
        raise RuntimeError("the machine went down")

    monkeypatch.setattr(EnvironmentContext, "run_migrations", run_and_fail)
    database = Database.at(oldest)
    with pytest.raises(RuntimeError, match="went down"):
        upgrade(database)
    assert read_schema(database).current == "0001"
    columns = {column["name"] for column in sa.inspect(database.engine).get_columns("trials")}
    assert columns == OLDEST["trials"][0].keys() | {"id"}
    monkeypatch.undo()
    upgrade(database)
    assert read_schema(database).state == "current"
    database.close()


def test_a_newer_schema_is_left_alone(db: str) -> None:
    Store.open(db).close()
    set_version(db, "9999")
    with pytest.raises(StoreError, match=r"newer version of autoprompt .*update autoprompt"):
        Store.open(db)
    database = Database.at(db)
    with pytest.raises(StoreError, match="newer version"):
        upgrade(database)
    assert read_schema(database).current == "9999"
    database.close()


def test_another_programs_database_is_left_alone(database: Database) -> None:
    """Optuna's own, for one: it too has a table of trials and keeps Alembic's version."""
    with database.engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.exec_driver_sql("CREATE TABLE trials (trial_id INTEGER)")
    with pytest.raises(StoreError, match=r"another program's making \(trials\)"):
        upgrade(database)
    with database.engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('v3.2.0.a')")
    with pytest.raises(StoreError, match="another program's"):
        read_schema(database)


def set_version(url: str, version: str) -> None:
    database = Database.at(url)
    with database.engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{version}'")  # noqa: S608
    database.close()

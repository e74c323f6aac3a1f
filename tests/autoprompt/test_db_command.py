"""`autoprompt db`, and what the other commands say of a database of another version."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from autoprompt.cli import main
from autoprompt.store import Database, Store, read_schema, upgrade
from tests.autoprompt.test_schema import set_version
from tests.autoprompt.test_store import search_fields
from tests.postgresql import PASSWORD, PostgreSql


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def newest(db: str) -> str:
    database = Database.at(db)
    schema = read_schema(database)
    database.close()
    return schema.newest


def test_an_old_database_is_refused_then_upgraded(db: str) -> None:
    database = Database.at(db)
    upgrade(database, to="0001")
    database.close()
    for arguments in (("list",), ("show", "latest"), ("trials", "latest", "--json")):
        refused = run(*arguments, "--db", db)
        assert refused.exit_code == 2
        assert refused.stdout == ""
        assert "`autoprompt db upgrade` brings it up to date" in refused.stderr
    state = json.loads(run("db", "current", "--db", db, "--json").stdout)
    assert (state["current"], state["newest"], state["state"]) == ("0001", newest(db), "older")

    done = json.loads(run("db", "upgrade", "--db", db, "--json").stdout)
    assert (done["from"], done["to"]) == ("0001", newest(db))
    assert "nothing to do" in run("db", "upgrade", "--db", db).stdout
    assert "(current)" in run("db", "current", "--db", db).stdout
    assert json.loads(run("list", "--db", db, "--json").stdout) == []


def test_the_database_is_named_by_the_environment(db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOPROMPT_DB", db)
    assert "no tables -> " in run("db", "upgrade").stdout
    Store.open(db, create=False).close()


def test_a_newer_database_is_refused_and_left_alone(
    db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store.open(db).close()
    set_version(db, "9999")
    monkeypatch.setenv("AUTOPROMPT_DB", db)
    for arguments in (("list",), ("db", "upgrade")):
        refused = run(*arguments)
        assert refused.exit_code == 2
        assert "update autoprompt" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
        assert PASSWORD not in refused.output
    assert json.loads(run("db", "current", "--json").stdout)["state"] == "newer"


def test_asking_for_the_version_makes_nothing(tmp_path: Path) -> None:
    refused = run("db", "current", "--db", f"sqlite:///{tmp_path / 'none.db'}")
    assert refused.exit_code == 2
    assert "no such file" in refused.stderr
    assert not list(tmp_path.iterdir())


def test_a_database_out_of_reach_is_one_line(
    postgresql: PostgreSql, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in (
        f"postgresql://me:{PASSWORD}@127.0.0.1:1/db",
        postgresql.url("postgres", password="wrong-password"),
    ):
        for arguments in (("list", "--json"), ("db", "current"), ("db", "upgrade")):
            monkeypatch.setenv("AUTOPROMPT_DB", url)
            refused = run(*arguments)
            assert refused.exit_code == 2
            assert refused.stdout == ""
            assert len(refused.stderr.splitlines()) == 1
            assert refused.stderr.startswith("Error: database postgresql://")
            assert PASSWORD not in refused.stderr
            assert "wrong-password" not in refused.stderr


def test_the_newest_trials_of_many(db: str) -> None:
    store = Store.open(db)
    search = store.create_search(**search_fields())
    for number in range(5):
        store.start_trial(search.id, number, kind="soft", plan={}, params={}, distributions={})
    store.close()
    listed = json.loads(run("trials", "latest", "--db", db, "--json").stdout)
    assert [trial["number"] for trial in listed] == list(range(5))
    listed = json.loads(run("trials", "latest", "--db", db, "--json", "--limit", "2").stdout)
    assert [trial["number"] for trial in listed] == [3, 4]
    table = run("trials", "latest", "--db", db, "--limit", "2").stdout
    assert [line.split()[0] for line in table.splitlines() if " running " in line] == ["3", "4"]

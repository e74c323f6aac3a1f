"""A store that several people use: whose a search is, and what may be taken out."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

import autoprompt
from autoprompt import api
from autoprompt.cli import main
from autoprompt.config import SearchConfig
from autoprompt.controller import lease
from autoprompt.results import SearchResult
from autoprompt.search_spaces.errors import BadInputError, ConfigError, SearchNotFoundError
from autoprompt.store import State, Store
from autoprompt.store.tables import Base
from autoprompt.workers import cache_folder, cache_usage
from tests.autoprompt.test_store import report, search_fields, start
from tests.conftest import copy_store


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture
def store(db: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Two people's searches: anas and bens, and one of an older version's."""
    monkeypatch.setenv("AUTOPROMPT_DB", db)
    monkeypatch.setenv("AUTOPROMPT_OWNER", "ana")
    store = Store.open(db)
    for name, owner, tags in (
        ("tickets", "ana", ["support", "weekly"]),
        ("tickets-2", "ana", ["support"]),
        ("movies", "ben", ["weekly"]),
        ("old", None, None),
    ):
        config = {"space": {}, "search": {"trials": 1}}
        fields = search_fields(name, owner=owner, tags=tags, config=config)
        search = store.create_search(**fields)
        start(store, search.id, 0)
        report(store, search.id, 0, 1, 0.5)
        store.finish_search(search.id, State.FAILED if name == "movies" else State.FINISHED)
    yield store
    store.close()


def names(*filters: str) -> list[str]:
    listed = call("list", *filters, "--json")
    assert listed.exit_code == 0, listed.output
    return [row["name"] for row in json.loads(listed.stdout)]


def test_list_filters(store: Store) -> None:
    assert names() == ["old", "movies", "tickets-2", "tickets"]
    assert names("--owner", "ana") == ["tickets-2", "tickets"]
    assert names("--tag", "weekly") == ["movies", "tickets"]
    assert names("--tag", "weekly", "--tag", "support") == ["tickets"]
    assert names("--state", "failed") == ["movies"]
    assert names("--name", "tickets-*") == ["tickets-2"]
    shown = call("list", "--owner", "ana").stdout
    assert "ana" in shown
    assert "support weekly" in shown


def test_latest_is_the_callers_own(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.update_search(store.find("old").id, owner="ben")
    assert store.find("latest").name == "tickets-2"
    monkeypatch.setenv("AUTOPROMPT_OWNER", "ben")
    assert store.find("latest").name == "old"
    monkeypatch.setenv("AUTOPROMPT_OWNER", "cleo")
    with pytest.raises(SearchNotFoundError, match=r"no search of cleo's in .*autoprompt list"):
        store.find("latest")


def rows(store: Store) -> dict[str, int]:
    with store.database.engine.connect() as connection:
        return {
            name: connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            for name, table in Base.metadata.tables.items()
        }


def test_a_search_is_deleted_with_all_that_is_of_it(store: Store) -> None:
    before = rows(store)
    told = call("delete", "tickets", "movies", "--dry-run", "--json")
    assert json.loads(told.stdout) == {"deleted": ["tickets", "movies"], "dry_run": True}
    assert rows(store) == before
    asked = call("delete", "tickets")
    assert asked.exit_code == 2
    assert "delete tickets: say --yes" in asked.stderr
    assert rows(store) == before
    assert call("delete", "tickets", "movies", "--yes").stdout == "deleted: tickets, movies\n"
    assert names() == ["old", "tickets-2"]
    assert rows(store) == before | dict.fromkeys(("searches", "trials", "rungs", "prompts"), 2)


def test_a_finished_searchs_every_row_goes(finished_db: str, tmp_path: Path) -> None:
    db = copy_store(finished_db, tmp_path)
    assert api.delete(["finished"], db=db, quiet=True) == ["finished"]
    assert set(rows(Store.open(db)).values()) == {0}


def test_what_is_needed_is_not_deleted(store: Store) -> None:
    space = {"soft": {"init": "prompt", "init_prompt": "tickets/0", "length": 1}}
    heir = store.create_search(**search_fields("heir", config={"space": space}))
    store.finish_search(heir.id, State.STOPPED)
    refused = call("delete", "movies", "tickets", "--yes")
    assert refused.exit_code == 2
    assert "'tickets': 'heir', which is stopped, starts from its prompts" in refused.stderr
    assert len(names()) == 5
    # Together they may go.
    assert call("delete", "tickets", "heir", "--yes").exit_code == 0


def test_a_result_deletes_itself(store: Store) -> None:
    autoprompt.load("movies").delete(quiet=True)
    assert [result.name for result in autoprompt.searches(owner="ben")] == []
    with pytest.raises(SearchNotFoundError):
        autoprompt.delete(["movies"])
    assert len(names()) == 3


def test_a_search_that_runs_is_not_deleted(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    live = store.create_search(**search_fields("live", owner="ana"))
    monkeypatch.setattr(lease, "HEARTBEAT_SECONDS", 0.05)
    with lease.claimed(store, live):
        with pytest.raises(BadInputError, match="search 'live' is being run by"):
            api.delete(["live"], quiet=True)
        assert call("prune", "--owner", "ana", "--yes").exit_code == 0
    assert "live" in names()


def test_a_search_that_begins_again_meanwhile_stays(store: Store) -> None:
    looked_at = {store.find(name).id: store.find(name).heartbeat_at for name in ("old", "movies")}
    movies = store.find("movies")
    assert store.claim_search(movies.id, "host:1:abc", movies.heartbeat_at)
    assert store.delete_searches(looked_at) == ["movies"]
    assert {"old", "movies"} <= set(names())
    looked_at[movies.id] = store.find("movies").heartbeat_at
    assert store.delete_searches(looked_at) == []
    assert names() == ["tickets-2", "tickets"]


def test_prune_takes_out_what_is_old_or_failed(store: Store) -> None:
    assert call("prune").exit_code == 2
    for everyone in (("--name", "*"), ("--owner", "")):
        assert call("prune", *everyone, "--yes").exit_code == 2
    for empty in ("--owner", "--name"):  # as a shell gives a variable that is not set
        assert call("prune", empty, "", "--keep", "0", "--older-than", "0s", "--yes").stdout == (
            "nothing to delete\n"
        )
    assert call("prune", "--older-than", "1d").stdout == "nothing to delete\n"
    assert call("prune", "--older-than", "soon").exit_code == 2
    told = call("prune", "--state", "failed", "--dry-run")
    assert told.stdout == "would delete: movies\n"
    kept = call("prune", "--owner", "ana", "--keep", "1", "--yes", "--json")
    assert json.loads(kept.stdout) == {"deleted": ["tickets"], "dry_run": False}
    assert names() == ["old", "movies", "tickets-2"]


def test_a_search_knows_its_owner_and_tags(
    tiny_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOPROMPT_OWNER", "ana")
    config = SearchConfig.model_validate(tiny_config | {"tags": ["a", "b"]})
    config = config.with_overrides(trials=1, tags=["c", "a"])
    assert config.tags == ("a", "b", "c")
    result = autoprompt.search(config, db=tiny_config["store"], quiet=True)
    summary = result.summary()
    assert (summary["owner"], summary["tags"]) == ("ana", ["a", "b", "c"])
    [found] = api.searches(owner="ana", tags=["c"], db=tiny_config["store"])
    assert isinstance(found, SearchResult)
    with pytest.raises(ConfigError, match="tags"):
        SearchConfig.of(tiny_config | {"tags": 3}, "search.yaml")


def test_the_cache_is_shown_and_pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOPROMPT_CACHE", str(tmp_path))
    now = time.time()
    for number, name in enumerate(
        ("texts/m/ab/one.safetensors", "texts/m/cd/two.safetensors", "models/llama/weights")
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_bytes(b"x" * (1 << 20))
        used = now - (3 - number) * 86400
        os.utime(path, (used, used))
        if name.startswith("models"):
            os.utime(path.parent, (used, used))
    shown = json.loads(call("cache", "--json").stdout)
    assert shown["folder"] == str(tmp_path)
    assert [(row["kind"], row["files"]) for row in shown["kept"]] == [("models", 1), ("texts", 2)]
    assert "texts" in call("cache").stdout
    assert call("cache", "prune").exit_code == 2
    told = call("cache", "prune", "--older-than", "60h", "--dry-run")
    assert told.stdout == "would delete 1 of what is kept, 1.0 MiB\n"
    assert call("cache", "prune", "--older-than", "60h", "--yes").exit_code == 0
    assert sorted(path.name for path in tmp_path.rglob("*.safetensors")) == ["two.safetensors"]
    # What was not used longest goes first.
    found = call("cache", "prune", "--max-gib", str(1.5 / 1024), "--yes", "--json")
    assert json.loads(found.stdout) == {"deleted": 1, "bytes": 1 << 20, "dry_run": False}
    assert (tmp_path / "models" / "llama" / "weights").exists()
    assert call("cache", "prune", "--max-gib", "1").stdout == "nothing to delete\n"


#: Uses a model's texts and a model that was unpacked, says so, and waits for a line.
_USES = """
import sys
from pathlib import Path
from autoprompt.workers.cache_files import CacheFiles
from autoprompt.workers.cache_folder import cache_folder, made_once
import torch

def make(folder):
    (folder / "weights").write_text("x")
    print("making", flush=True)
    sys.stdin.readline()

CacheFiles(cache_folder() / "texts", "m", 1 << 30).put((1, 2), torch.zeros(9, 9))
made_once(cache_folder() / "models" / "llama.gguf", make)
print("made", flush=True)
sys.stdin.readline()
"""


def test_what_is_in_use_is_not_pruned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor what is still being made."""
    monkeypatch.setenv("AUTOPROMPT_CACHE", str(tmp_path))
    user = subprocess.Popen(
        [sys.executable, "-c", _USES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert user.stdin is not None
    assert user.stdout is not None
    for said in ("making", "made"):
        assert user.stdout.readline() == f"{said}\n"
        found = call("cache", "prune", "--max-gib", "0", "--yes")
        assert found.stdout == "nothing to delete\n"
        shown = json.loads(call("cache", "--json").stdout)["kept"]
        assert [(row["kind"], row["in_use"]) for row in shown] == [
            ("models", True),
            ("texts", True),
        ]
        user.stdin.write("on\n")
        user.stdin.flush()
    assert user.wait(60) == 0
    found = call("cache", "prune", "--max-gib", "0", "--yes", "--json")
    assert json.loads(found.stdout)["deleted"] == 2
    assert json.loads(call("cache", "--json").stdout)["kept"] == []


def test_what_comes_into_use_while_one_is_asked_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOPROMPT_CACHE", str(tmp_path))
    weights = tmp_path / "models" / "llama" / "weights"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"x")
    going = cache_usage.to_prune(cache_usage.kept(), 0, float("inf"))
    assert [own.path for own in going] == [weights.parent]
    cache_folder.hold(weights.parent)
    assert cache_usage.prune(going) == []
    assert weights.exists()

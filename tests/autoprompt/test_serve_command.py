"""What `autoprompt serve` refuses before it starts anything, and the parts it is made of."""

import asyncio
import importlib.util
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from ray.serve.deployment import Application
from ray.serve.schema import ServeDeploySchema

import autoprompt
from autoprompt.cli import main
from autoprompt.search_spaces.errors import BadInputError
from autoprompt.serving import app, token
from autoprompt.serving.door import Door
from autoprompt.serving.settings import ServeSettings
from autoprompt.store import Store
from tests.conftest import copy_store
from tests.local_server import free_port
from tests.serving import ROOT, make_store

TOKEN = "a-token-of-enough-letters"


@pytest.fixture(autouse=True)
def _no_token_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in (token.TOKEN, token.TOKEN_FILE):
        monkeypatch.delenv(name, raising=False)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["serve", *arguments])


def refused(words: str, *arguments: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert words in line
    assert "starting" not in result.stderr


def test_a_search_that_is_not_there(finished_db: str) -> None:
    refused("no search 'none'", "finished", "none", "--db", finished_db)


def test_a_search_that_has_not_finished(finished_db: str, tmp_path: Path) -> None:
    url = copy_store(finished_db, tmp_path)
    result = autoprompt.load(db=url)
    result._store.update_search(result.id, ensemble=None)
    refused("has no ensemble", "finished", "--db", url)


def test_searches_on_two_models(tmp_path: Path) -> None:
    url = make_store(tmp_path, ("movies", "pairs"))
    record = autoprompt.load("pairs", db=url).record
    versions = record.versions | {"model": "another"}
    Store.open(url).update_search(record.id, versions=versions)
    refused("'movies' and 'pairs' are on different models", "movies", "pairs", "--db", url)


def test_a_port_that_is_taken(finished_db: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused("is taken on 127.0.0.1", "finished", "--db", finished_db, "--port", port)


def test_a_host_that_is_not_this_machines(finished_db: str) -> None:
    refused("cannot be used", "finished", "--db", finished_db, "--host", "192.0.2.1.invalid")


def test_a_cluster_that_is_not_there(finished_db: str) -> None:
    """In a process of its own: one that has joined a Ray stays on it, whatever it is told."""
    address = f"127.0.0.1:{free_port()}"
    told = ["-m", "autoprompt", "serve", "finished", "--db", finished_db, "--address", address]
    done = subprocess.run(
        [sys.executable, *told], check=False, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 2, done.stderr
    assert f"--address: no Ray cluster at {address}" in done.stderr


def test_without_a_token_on_a_network(finished_db: str) -> None:
    given = ("finished", "--db", finished_db, "--host", "0.0.0.0", "--no-token")  # noqa: S104
    refused("leave it out, or add --public", *given)


def test_limits_that_take_no_request(finished_db: str) -> None:
    given = ("finished", "--db", finished_db, "--max-texts", "10", "--max-waiting", "5")
    refused("max_waiting must be at least max_texts", *given)


def test_without_the_extra(finished_db: str, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> Any:
        return None if name == "fastapi" else honest(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    refused("install 'autoprompt-search[serve]'", "finished", "--db", finished_db)


# The token


def test_a_token_is_made_once_and_nobody_else_reads_it() -> None:
    made, path = token.made_token()
    assert path.stat().st_mode & 0o777 == 0o600
    assert token.made_token() == (made, path)
    assert token.given_token(str(path)) == made
    assert len(made) >= 32


def test_where_a_token_is_taken_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert token.given_token() is None
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}-2\n")
    file.chmod(0o600)
    monkeypatch.setenv(token.TOKEN_FILE, str(file))
    assert token.given_token() == f"{TOKEN}-2"
    monkeypatch.setenv(token.TOKEN, TOKEN)
    assert token.given_token() == TOKEN
    assert token.given_token(str(file)) == f"{TOKEN}-2"


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (TOKEN, 0o640, "others may read it; run `chmod 600"),
        ("short", 0o600, "at least 16 characters"),
        ("with a space in the middle", 0o600, "no space"),
        (None, 0, "cannot be read"),
    ],
)
def test_a_token_file_that_will_not_do(
    content: str | None, mode: int, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    with pytest.raises(BadInputError, match=words) as caught:
        token.given_token(str(file))
    assert str(file) in str(caught.value)
    assert content is None or content not in str(caught.value).replace(str(file), "")


# Who goes in


async def _batches(door: Door, sizes: list[int]) -> list[list[int]]:
    """Sizes of the requests that were in together, batch by batch, which all came at once."""
    entered: list[int] = []
    waiting = [asyncio.create_task(_enter(door, size, entered)) for size in sizes]
    batches = []
    while sum(map(len, batches)) < len(sizes):
        await asyncio.sleep(0)
        if entered:
            batch, entered[:] = list(entered), []
            batches.append(batch)
            async with door.closed(sum(batch)):
                for _ in range(10):
                    await asyncio.sleep(0)
                assert not entered
    await asyncio.gather(*waiting)
    return batches


async def _enter(door: Door, size: int, entered: list[int]) -> None:
    await door.enter(size)
    entered.append(size)


def test_what_waits_goes_in_together_up_to_a_batch() -> None:
    found = asyncio.run(_batches(Door(8, 1e9), [1, 3, 4, 1, 20, 2, 2, 5]))
    assert sorted(size for batch in found for size in batch) == [1, 1, 2, 2, 3, 4, 5, 20]
    assert all(sum(batch) <= 8 or len(batch) == 1 for batch in found)
    assert len(found) <= 5


def test_nobody_goes_in_while_the_model_computes() -> None:
    async def late() -> None:
        door = Door(8, 1e9)
        await door.enter(1)
        async with door.closed(1):
            waiting = asyncio.create_task(door.enter(1))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not waiting.done()
        await waiting

    asyncio.run(late())


def test_of_a_slow_model_fewer_go_in_together() -> None:
    assert asyncio.run(_batches(Door(4, 1e-9), [1, 1, 1, 1, 1, 1])) == [[1, 1, 1, 1], [1], [1]]


# On a cluster


def test_the_configuration_in_deploy_is_an_application(monkeypatch: pytest.MonkeyPatch) -> None:
    content = yaml.safe_load((ROOT / "deploy" / "serve.yaml").read_text(encoding="utf-8"))
    schema = ServeDeploySchema.model_validate(content)
    [application] = schema.applications
    assert application.import_path == f"{app.__name__}:{app.build.__name__}"
    settings = ServeSettings.model_validate(application.args)
    with pytest.raises(BadInputError, match=f"the cluster has no token: set {token.TOKEN}"):
        app.build(settings)
    monkeypatch.setenv(token.TOKEN, TOKEN)
    assert isinstance(app.build(settings), Application)

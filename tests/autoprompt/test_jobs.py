"""Jobs on a real Ray head that asks for a token, with PostgreSQL behind a password."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import requests
from aiohttp import web

import autoprompt
from autoprompt.api import searches
from autoprompt.config import SearchConfig
from autoprompt.preparation.job_files import LIMIT_MIB, pack
from autoprompt.search_spaces.errors import BadInputError, DataError, StoreError
from autoprompt.store import Store
from autoprompt.store.location import store_url
from tests.conftest import DEMO_TASK, write_texts, write_yaml
from tests.postgresql import PostgreSql
from tests.ray_head import RayHead, wait_for

PASSWORD = "s3ntinel-of-the-database"


@pytest.fixture(scope="module")
def head() -> Iterator[RayHead]:
    head = RayHead()
    yield head
    head.remove()


@pytest.fixture(scope="module")
def database(head: RayHead, postgresql: PostgreSql) -> str:
    """A database that wants a password; the cluster's jobs find its URL in a file."""
    postgresql.run(f"CREATE ROLE searcher LOGIN PASSWORD '{PASSWORD}'")
    postgresql.run("CREATE DATABASE searches OWNER searcher")
    url = f"postgresql://searcher:{PASSWORD}@127.0.0.1:{postgresql.port}/searches"
    head.database.write_text(f"{url}\n")
    return url


TRIALS = 8


def write_search(folder: Path, model: str, **changes: Any) -> Path:
    """A small search whose texts lie beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_texts(folder / "texts.csv")
    config = {
        "model": model,
        "data": {"path": "texts.csv", "sizes": {"train": 24, "validation": 16, "test": 20}},
        "task": DEMO_TASK.model_dump(),
        "space": {"soft": {"length": [1, 2], "learning_rate": 0.05, "steps": 4, "batch_size": 4}},
        "search": {"trials": 3, "cache_gib_on_disk": 0},
        "ensemble": {"size": 2},
    }
    return write_yaml(folder / "tiny.yaml", config | changes)


class Call:
    """The command line in a process of its own: Ray reads its token once in each."""

    def __init__(self, head: RayHead, *arguments: str, **environment: str | None) -> None:
        known = os.environ | head.environment | {"RAY_ADDRESS": head.address} | environment
        self.process = subprocess.Popen(
            [Path(sys.executable).with_name("autoprompt"), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=head.folder,
            env={name: value for name, value in known.items() if value is not None},
        )

    def end(self, exit_code: int = 0) -> "Call":
        self.out, self.err = self.process.communicate(timeout=120)
        assert self.process.returncode == exit_code, self.out + self.err
        return self

    def refused(self, *words: str) -> None:
        self.end(2)
        assert self.out == ""
        errors = [line for line in self.err.splitlines() if line.startswith("Error: ")]
        assert errors == self.err.splitlines()[-1:]
        for word in words:
            assert word in errors[0]


@contextmanager
def cutting_proxy(target: str) -> Iterator[tuple[str, list[int]]]:
    """A way to a dashboard on which a log's tail ends, in good order, after its first piece, then
    after two, and so on: what Ray itself does now and then.

    Yields:
        Its address, and how many pieces each tail was let have.
    """
    tails: list[int] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        headers = {"Authorization": request.headers["Authorization"]}
        async with aiohttp.ClientSession(target, headers=headers) as session:
            if request.path.endswith("/tail"):
                here = web.WebSocketResponse()
                await here.prepare(request)
                tails.append(0)
                allowed = len(tails)
                async with session.ws_connect(request.path) as there:
                    async for message in there:
                        await here.send_str(message.data)
                        tails[-1] += 1
                        if tails[-1] == allowed:
                            # Now: to part from the other side takes ten seconds.
                            await here.close()
                            break
                return here
            body = await request.read()
            async with session.request(request.method, request.path, data=body) as answer:
                return web.Response(body=await answer.read(), status=answer.status)

    ready, over = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    port = 0

    async def serve() -> None:
        nonlocal port
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        ready.set()
        await over.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(30)
    try:
        yield f"http://127.0.0.1:{port}", tails
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(30)
        loop.close()


#: A metric of the user's own, beside the configuration.
OWN_METRIC = "laptop_metrics:share"
OWN_CODE = "def share(expected, predicted):\n    return (expected == predicted).mean()\n"


class Ran:
    """One search, submitted, followed to its end, and looked at from outside meanwhile."""

    def __init__(self, head: RayHead, folder: Path, tiny_folder: Path) -> None:
        self.folder = folder
        # Long enough that its log comes in several pieces.
        space = {"length": [1, 2], "learning_rate": 0.05, "steps": 300, "batch_size": 4}
        search = {"trials": TRIALS, "cache_gib_on_disk": 0, "rungs": 1}
        task = DEMO_TASK.model_dump() | {"metric": OWN_METRIC}
        path = write_search(folder, "model", space={"soft": space}, search=search, task=task)
        code = folder / "laptop_metrics.py"
        code.write_text(OWN_CODE)
        shutil.copytree(tiny_folder, folder / "model")
        submitted = Call(head, "submit", str(path), "--no-wait", "--json").end()
        self.submitted = json.loads(submitted.out)
        # What the job needs is on its way: what lies here is no longer it.
        sent = (folder / "texts.csv", folder / "model" / "model.safetensors", path, code)
        for file in sent:
            file.rename(file.with_suffix(".gone"))
        with cutting_proxy(head.address) as (address, self.tails):
            following = Call(head, "logs", "-f", "tiny", "--address", address)
            self.command_lines: set[str] = set()
            while following.process.poll() is None:
                self.command_lines |= command_lines()
                with suppress(subprocess.TimeoutExpired):
                    following.process.wait(0.2)
            self.followed = following.end().out
        for file in sent:
            file.with_suffix(".gone").rename(file)


def command_lines() -> set[str]:
    """What `ps` shows to everyone."""
    return {" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])}


@pytest.fixture(scope="module")
def ran(
    head: RayHead, database: str, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Ran:
    return Ran(head, tmp_path_factory.mktemp("laptop"), tiny_folder)


def test_a_search_runs_with_the_files_that_travelled(ran: Ran, database: str) -> None:
    result = autoprompt.load("tiny", db=database)
    assert result.state == "finished"
    assert result.counts["complete"] + result.counts["pruned"] == TRIALS
    # What is stored names the files where they came from: `predict` and `resume` find them there.
    assert result.record.config["data"]["path"] == str(ran.folder / "texts.csv")
    assert result.record.model == str(ran.folder / "model")
    assert result.record.metric == OWN_METRIC
    [prediction] = result.ensemble.predict(["a joy"])
    assert prediction.label in DEMO_TASK.label_words


def test_a_log_is_followed_to_its_end_though_its_tail_breaks_off(ran: Ran, head: RayHead) -> None:
    assert len(ran.tails) >= 2, "no tail broke off"
    assert ran.followed == Call(head, "logs", "tiny").end().out
    assert f"Test: {OWN_METRIC} on 20 texts" in ran.followed


def test_status_and_jobs(ran: Ran, head: RayHead, database: str) -> None:
    jobs = json.loads(Call(head, "jobs", "--json").end().out)
    job = next(job for job in jobs if job["search"] == "tiny")
    assert job["state"] == "succeeded"
    assert job["job"] == ran.submitted["job"]

    both = json.loads(Call(head, "status", "tiny", "--json", AUTOPROMPT_DB=database).end().out)
    assert (both["state"], both["job"]) == ("finished", job)

    gone = {"AUTOPROMPT_DB": database, "RAY_ADDRESS": "http://127.0.0.1:1"}
    alone = Call(head, "status", "tiny", "--json", **gone).end()
    assert "cannot be reached" in alone.err
    assert json.loads(alone.out) == both | {"job": None}

    unknown = Call(head, "status", "tiny", AUTOPROMPT_DB="sqlite:////none/at/all.db").end()
    assert f"job {job['job']}: succeeded" in unknown.out
    assert "no such file" in unknown.err


def places(ran: Ran, head: RayHead) -> dict[str, str]:
    """All that others may see of a job."""
    headers = {"Authorization": f"Bearer {head.token}"}
    url = f"{head.address}/api/jobs/{ran.submitted['job']}"
    details = requests.get(url, headers=headers, timeout=30).json()
    session = head.folder / "ray" / "session_latest"
    # The token is the cluster's own, which it keeps beside its session; a job's files are below.
    logs = "".join(
        file.read_text(errors="replace") for file in (session / "logs").rglob("*") if file.is_file()
    )
    resources = session.resolve() / "runtime_resources"
    packed = [file for file in resources.rglob("*") if file.suffix in (".yaml", ".zip", ".csv")]
    return {
        "entrypoint": details["entrypoint"],
        "metadata": json.dumps(details["metadata"]),
        "runtime_env": json.dumps(details["runtime_env"]),
        "the whole answer": json.dumps(details),
        "the job's log": ran.followed,
        "the cluster's logs": logs,
        "ps": "\n".join(ran.command_lines),
        "the files that travelled": "".join(file.read_text(errors="replace") for file in packed),
    }


def test_no_secret_is_shown_anywhere(ran: Ran, head: RayHead, database: str) -> None:
    found = places(ran, head)
    for place, text in found.items():
        assert PASSWORD not in text, place
        assert head.token not in text, place
    # What is no secret is found in each place, so each was looked into while the job ran.
    marks = dict.fromkeys(found, "tiny") | {
        "runtime_env": "_ray_pkg_",
        "ps": "search search.yaml --name=tiny",
        "the cluster's logs": ran.submitted["job"],
        "the files that travelled": "label_words",
    }
    assert [place for place, mark in marks.items() if mark not in found[place]] == []


def test_a_wrong_password_is_told_without_it(
    ran: Ran, head: RayHead, database: str, tiny_folder: Path, tmp_path: Path
) -> None:
    head.database.write_text(database.replace(PASSWORD, "wrong-s3ntinel"))
    try:
        call = Call(head, "submit", str(write_search(tmp_path, str(tiny_folder), name="barred")))
        call.refused("password authentication failed")
        assert "wrong-s3ntinel" not in call.err
    finally:
        head.database.write_text(database)


def test_a_stopped_search_is_resumed_on_the_cluster(
    head: RayHead, database: str, tiny_folder: Path, tmp_path: Path
) -> None:
    search = {"trials": 400, "cache_gib_on_disk": 0}
    path = str(write_search(tmp_path, str(tiny_folder), name="night", search=search))
    Call(head, "submit", path).end()

    store = Store.open(database)
    night = store.find("night").id

    def complete() -> int:
        return store.counts(night)["complete"]

    wait_for(complete, 90, "a first trial")
    Call(head, "submit", path, "--resume", "night").refused("'night' runs on")
    stopped = json.loads(Call(head, "stop", "night", "--json").end().out)
    assert stopped["state"] == "stopped"
    assert store.find("night").state == "stopped"
    assert store.counts(night)["running"] == 0

    before = complete()
    Call(head, "submit", path, "--resume", "night").end()
    wait_for(lambda: complete() > before, 90, "one more trial")
    Call(head, "stop", "night").end()
    store.close()
    jobs = json.loads(Call(head, "jobs", "--json").end().out)
    assert [job["state"] for job in jobs if job["search"] == "night"] == ["stopped", "stopped"]


def test_what_the_cluster_lacks_is_told(
    ran: Ran, head: RayHead, database: str, tiny_folder: Path, tmp_path: Path
) -> None:
    path = str(write_search(tmp_path, "/no/model/here", name="modelless"))
    missing = Call(head, "submit", path)
    missing.refused("/no/model/here", "no such file or folder")
    assert "the cluster needs it at that path" in missing.err

    command = head.commands / "autoprompt"
    command.rename(head.commands / "moved")
    try:
        path = str(write_search(tmp_path, str(tiny_folder), name="packageless"))
        Call(head, "submit", path).refused("has no autoprompt", "install")
    finally:
        (head.commands / "moved").rename(command)
    names = {result.name for result in searches(db=database)}
    assert {"modelless", "packageless"}.isdisjoint(names)


def test_a_name_is_taken_once(
    ran: Ran, head: RayHead, database: str, tiny_folder: Path, tmp_path: Path
) -> None:
    path = str(write_search(tmp_path, str(tiny_folder)))
    Call(head, "submit", path, "--name", "tiny").refused("'tiny' has a job", "autoprompt jobs")
    # A name that only the store knows is refused by the job.
    config = autoprompt.load("tiny", db=database).record.config
    store = Store.open(database)
    store.create_search(
        name="elsewhere",
        model="a model",
        metric="accuracy",
        seed=0,
        config=config,
        versions={},
        data={},
        validation_labels=[],
        ensemble=None,
    )
    store.close()
    Call(head, "submit", path, "--name", "elsewhere").refused("'elsewhere' exists")


def test_a_token_is_asked_for(head: RayHead, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("another-token-that-is-long-enough")
    wrong = {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    Call(head, "jobs", **wrong).refused("does not accept this token", "RAY_AUTH_TOKEN_PATH")
    Call(head, "jobs", RAY_AUTH_MODE="disabled").refused("asks for a token", "RAY_AUTH_MODE")
    by_value = {"RAY_AUTH_TOKEN_PATH": None, "RAY_AUTH_TOKEN": head.token}
    Call(head, "jobs", **by_value).end()


def test_a_search_that_joins_a_cluster_is_refused_in_one_line(
    head: RayHead, tiny_folder: Path, tmp_path: Path
) -> None:
    search = {"trials": 1, "ray_address": head.gcs}
    path = str(write_search(tmp_path, str(tiny_folder), search=search))
    few = {"RAY_NUM_REDIS_GET_RETRIES": "2"}  # the tries of Ray's core, a second each
    call = Call(head, "search", path, RAY_AUTH_MODE="disabled", RAY_ADDRESS=None, **few)
    call.end(2)
    assert call.err.splitlines()[-1].startswith("Error: search.ray_address: no Ray cluster at ")
    assert "RAY_AUTH_TOKEN_PATH" in call.err.splitlines()[-1]


@contextmanager
def server(answer: str | None) -> Iterator[str]:
    """Something that is no Ray: says one thing, or takes connections and says nothing."""
    import http.server

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if answer is None:
                over.wait(60)
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: Any) -> None:
            pass

    over = threading.Event()
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{made.server_port}"
    finally:
        over.set()
        made.shutdown()
        thread.join()
        made.server_close()


def refusal(address: str) -> str:
    from autoprompt.jobs.jobs import Jobs
    from autoprompt.search_spaces.errors import ClusterError

    with pytest.raises(ClusterError) as caught:
        Jobs(address)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_wrong_address_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoprompt.jobs.job_server.ANSWER_SECONDS", 1.0)
    assert "cannot be reached" in refusal("http://127.0.0.1:1")
    assert "cannot be reached" in refusal("http://user:secret@127.0.0.1:1")
    assert "secret" not in refusal("http://user:secret@127.0.0.1:1")
    assert "not a dashboard's" in refusal("ray://127.0.0.1:10001")
    assert "not a dashboard's" in refusal("http://127.0.0.1:80000000")
    with server("{}") as address:
        assert "does not answer as Ray's job server does" in refusal(address)
    with server('{"version": "4", "ray_version": "2.9.0"}') as address:
        assert "runs Ray 2.9.0, and here is Ray 2." in refusal(address)
    with server(None) as address:
        assert "no answer in 1 s" in refusal(address)


def test_the_address_given_comes_before_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:2")
    assert refusal("http://127.0.0.1:1").startswith("cluster http://127.0.0.1:1: ")
    assert refusal("").startswith("cluster http://127.0.0.1:2: ")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:3")
    assert refusal("").startswith("cluster http://127.0.0.1:3: ")


def test_another_version_of_ray_or_python_is_named_in_one_line() -> None:
    from ray._private.utils import check_version_info

    from autoprompt.controller.ray_cluster import _reason

    with pytest.raises(RuntimeError) as caught:
        check_version_info(
            {"ray_version": "2.9.0", "python_version": "3.10.1"}, "this process", True, "minor"
        )
    said = _reason(caught.value)
    assert said.startswith("it runs Ray 2.9.0 and Python 3.10.1, and here is Ray ")
    assert "\n" not in said


def test_where_a_job_has_its_database_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTOPROMPT_DB", raising=False)
    file = tmp_path / "database"
    monkeypatch.setenv("AUTOPROMPT_DB_FILE", str(file))
    with pytest.raises(StoreError, match=r"AUTOPROMPT_DB_FILE: .*database cannot be read"):
        store_url()
    file.write_text(" \n")
    with pytest.raises(StoreError, match="is empty"):
        store_url()
    file.write_text("sqlite:////data/searches.db\n")
    assert store_url(configured="sqlite:///other.db") == "sqlite:////data/searches.db"
    assert store_url("sqlite:///given.db") == "sqlite:///given.db"
    monkeypatch.setenv("AUTOPROMPT_DB", "sqlite:////data/first.db")
    assert store_url() == "sqlite:////data/first.db"

    monkeypatch.delenv("AUTOPROMPT_DB")
    monkeypatch.delenv("AUTOPROMPT_DB_FILE")
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    with pytest.raises(StoreError, match="the job has no database"):
        store_url()
    assert store_url(configured="postgresql://me@db/searches") == "postgresql://me@db/searches"


def test_what_may_not_travel(
    head: RayHead, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = f"postgresql://me:{PASSWORD}@db/searches"
    for store in (secret, f"postgresql://me@db/searches?password={PASSWORD}"):
        call = Call(head, "submit", str(write_search(tmp_path, str(tiny_folder), store=store)))
        call.refused("tiny.yaml: store", "AUTOPROMPT_DB_FILE", "PGPASSFILE")
        assert PASSWORD not in call.err
    path = write_search(tmp_path, str(tiny_folder))
    (tmp_path / "a-job").mkdir()
    with (tmp_path / "large.csv").open("wb") as file:
        file.truncate((LIMIT_MIB + 1) << 20)
    config = SearchConfig.read(path)
    large = config.with_paths("large.csv", config.model.path)
    with pytest.raises(BadInputError, match=r"large.csv: 100 MiB are too much .* 99 MiB"):
        pack(large, None, tmp_path / "a-job")
    with pytest.raises(DataError, match=r"none.csv: no such file"):
        pack(config.with_paths("none.csv", config.model.path), None, tmp_path / "a-job")

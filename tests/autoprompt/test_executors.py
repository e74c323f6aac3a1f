"""What every executor does with a dispatch: one suite over Ray Tune and over this process."""

import io
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import autoprompt
from autoprompt.config import SearchConfig
from autoprompt.controller.callbacks.store_writer import StoreWriter
from autoprompt.controller.dispatch import Dispatch, PlanSource
from autoprompt.controller.executor import Executor
from autoprompt.controller.in_process import InProcessExecutor
from autoprompt.controller.pinned_words import with_pinned_words
from autoprompt.controller.ray_cluster import cluster
from autoprompt.controller.ray_executor import RayExecutor
from autoprompt.controller.stopping_rule import NoStopping
from autoprompt.preparation.prepare import prepare
from autoprompt.progress import SearchProgress
from autoprompt.search_spaces.errors import DatabaseLostError, ModelError
from autoprompt.search_spaces.wording_space import Proposals
from autoprompt.search_spec import SearchSpec
from autoprompt.store import Store
from autoprompt.workers.plan_worker import Worker
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.report import Report, Step
from autoprompt.workers.trial import TrialRunner
from tests.autoprompt.test_store import search_fields
from tests.conftest import write_yaml
from tests.reports import failure, report
from tests.tiny import TEXTS

QUIET = SearchProgress(quiet=True)


class Scripted(Worker):
    """Each trial reports two rungs; trial 1 fails at its second. The job counts for nothing."""

    def begin(self, trials: Sequence[dict[str, Any]]) -> None:
        self._rungs: dict[int, int] = {}
        self.add(trials)

    def add(self, trials: Sequence[dict[str, Any]]) -> None:
        self._rungs |= {trial["number"]: 0 for trial in trials}

    def advance(self) -> Step:
        reports: list[Any] = []
        for number in list(self._rungs):
            self._rungs[number] += 1
            rung = self._rungs[number]
            if (number, rung) == (1, 2):
                reports.append(failure(number))
            else:
                reports.append(report(number, rung, 0.5, "complete" if rung == 2 else ""))
        return Step(reports, "scripted:0")

    def drop(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._rungs.pop(number)


class ScriptedRunner(TrialRunner):
    def make_worker(self, job: Any) -> Worker:
        return Scripted()


class Numbered(PlanSource):
    """So many trials."""

    def __init__(self, count: int) -> None:
        self._numbers = list(range(count))
        self.heard: list[tuple[int, str]] = []

    def draw(self, count: int) -> list[dict[str, Any]]:
        drawn, self._numbers = self._numbers[:count], self._numbers[count:]
        soft = {"kind": "soft", "length": 1, "learning_rate": 0.1, "steps": 2}
        plan = soft | {"init": "random", "batch_size": 4, "seed": 0, "position": "suffix"}
        return [
            {"number": number, "drawn_at": 0.0, "plan": plan, "params": {}, "distributions": {}}
            for number in drawn
        ]

    def reported(self, report: Report) -> None:
        self.heard.append((report.number, "ended" if report.ended else "goes on"))

    def failed(self, number: int) -> None:
        self.heard.append((number, "failed"))


@contextmanager
def with_ray() -> Iterator[Executor]:
    spec = SearchSpec(trials=5, workers=1)
    with cluster(spec, "suite") as joined:
        yield RayExecutor(joined, spec, QUIET, ScriptedRunner)


@contextmanager
def in_process() -> Iterator[Executor]:
    yield InProcessExecutor(1, QUIET, lambda job: Scripted())


@pytest.fixture(params=[with_ray, in_process], ids=["ray", "in process"])
def executor(request: pytest.FixtureRequest, shared_ray: None) -> Iterator[Executor]:
    make: Callable[[], Any] = request.param
    with make() as made:
        yield made


class Job:
    """What is given to workers that look at none of it."""

    search = "suite"


def dispatched(store: Store) -> tuple[Dispatch, Numbered, int]:
    search = store.create_search(**search_fields())
    source = Numbered(5)
    ledger = StoreWriter(store, search.id, QUIET)
    return Dispatch(source, NoStopping(), ledger, count=5, together=2), source, search.id


def test_every_trial_is_carried_out_and_stored_once(executor: Executor, tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    dispatch, source, search_id = dispatched(store)
    assert executor.run(dispatch, Job(), "suite")  # type: ignore[arg-type]
    trials = store.trials(search_id)
    states = [trial.state for trial in trials]
    assert states == ["complete", "failed", "complete", "complete", "complete"]
    assert [len(trial.rungs) for trial in trials] == [2, 1, 2, 2, 2]
    assert [trial.attempts for trial in trials] == [1] * 5
    assert sorted(source.heard) == sorted(
        [(number, "goes on") for number in range(5)]
        + [(number, "ended") for number in (0, 2, 3, 4)]
        + [(1, "failed")]
    )


def test_a_store_that_is_lost_ends_the_run(
    executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    dispatch, _, search_id = dispatched(store)

    def lose(*arguments: Any, **fields: Any) -> None:
        raise DatabaseLostError("the database is gone")

    monkeypatch.setattr(Store, "finish_trial", lose)
    with pytest.raises(DatabaseLostError, match="the database is gone"):
        executor.run(dispatch, Job(), "suite")  # type: ignore[arg-type]
    assert {trial.state for trial in store.trials(search_id)} == {"running"}


def test_texts_are_scored_alike(
    shared_ray: None, tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    tiny_config["search"]["workers"] = 1
    config = SearchConfig.read(write_yaml(tmp_path / "search.yaml", tiny_config))
    job = prepare(config, QUIET).job
    prompts = [Prompt("").to_bytes(), Prompt("in short", (5, 6)).to_bytes()]
    texts = [row["text"] for row in TEXTS[:5]]
    here = InProcessExecutor(1, QUIET).score_texts(job, prompts, texts)
    with cluster(config.search, "suite") as joined:
        there = RayExecutor(joined, config.search, QUIET).score_texts(job, prompts, texts)
    assert here.shape == (2, 5, 2)
    np.testing.assert_allclose(here, there, atol=1e-5)


def counted(name: str, count: int, last: str) -> Iterator[tuple[str, int]]:
    """Numbers, and then what the last one is."""
    yield from ((name, number) for number in range(count))
    if last:
        raise ModelError(f"{name} {last}")


def test_calls_are_shared_out_and_yield_as_they_come(executor: Executor) -> None:
    calls = [("a", 3, ""), ("b", 0, ""), ("c", 2, "")]
    found = list(executor.on_workers(counted, calls))
    assert sorted(found) == [("a", 0), ("a", 1), ("a", 2), ("c", 0), ("c", 1)]


def test_a_call_that_fails_ends_them_all(executor: Executor) -> None:
    calls = [("a", 1, ""), ("b", 2, "fell over")]
    with pytest.raises(ModelError, match=r"^b fell over$"):
        list(executor.on_workers(counted, calls))


def test_label_words_are_proposed_alike_by_one_worker_and_by_two(
    shared_ray: None,
    tiny_config: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AUTOPROMPT_CACHE", str(tmp_path / "cache"))
    tiny_config["space"] = {
        "soft": tiny_config["space"]["soft"],
        "template": [f"Review: {{text}}\n{word}:" for word in ("Label", "Answer", "So")],
        "label_words": {"propose": 3, "candidates": 8, "words": 2},
    }
    tiny_config["search"] |= {"workers": 2, "cache_gib_on_disk": 1}
    config = SearchConfig.read(write_yaml(tmp_path / "search.yaml", tiny_config))
    prepared = prepare(config, QUIET)
    here = with_pinned_words(prepared, InProcessExecutor(1, QUIET), QUIET).config
    shutil.rmtree(tmp_path / "cache")
    shown = io.StringIO()
    progress = SearchProgress(Console(file=shown, force_terminal=True))
    with cluster(config.search, "suite") as joined:
        there = with_pinned_words(
            prepared, RayExecutor(joined, config.search, QUIET), progress
        ).config
    assert isinstance(here.space.label_words, Proposals)
    assert set(here.space.label_words.found) == set(config.space.templates)
    assert there.space == here.space
    assert "3/3" in shown.getvalue()


def stored(db: str) -> dict[str, Any]:
    """All that a search came to, but for names, times and the processes that did it."""
    store = Store.open(db)
    search = store.find("latest")
    trials = [asdict(trial) for trial in store.trials(search.id)]
    for row in (*trials, *(rung for trial in trials for rung in trial["rungs"])):
        for name in ("seconds", "worker", "started_at", "finished_at"):
            row.pop(name, None)
    with closing(sqlite3.connect(db.removeprefix("sqlite:///"))) as connection:
        prompts = connection.execute("select * from prompts order by trial_id").fetchall()
    repeats = [
        (one.number, one.repeat, one.seed, one.score) for one in store.confirmations(search.id)
    ]
    tests = [evaluation.result or {} for evaluation in store.evaluations(search.id)]
    baselines = [asdict(one) for one in store.baselines(search.id)]
    for row in (*baselines, *(row for test in tests for row in test["baselines"])):
        del row["seconds"]
    return {
        "trials": trials,
        "baselines": baselines,
        "prompts": prompts,
        "repeats": repeats,
        "tests": tests,
        "chosen": (search.best, search.ensemble),
    }


def test_with_one_worker_both_store_the_same_bytes(
    shared_ray: None, tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    tiny_config["confirm"] = {"top": 2, "seeds": 1}
    path = write_yaml(tmp_path / "search.yaml", tiny_config)
    contents = []
    for workers in (0, 1):
        db = f"sqlite:///{tmp_path / f'workers {workers}.db'}"
        result = autoprompt.search(path, workers=workers, db=db, quiet=True)
        assert result.state == "finished"
        contents.append(stored(db))
    here, there = contents
    for part, content in here.items():
        assert content == there[part], part


def test_without_workers_ray_is_never_started(tiny_config: dict[str, Any], tmp_path: Path) -> None:
    tiny_config["search"]["trials"] = 1
    code = (
        "import sys, autoprompt, ray\n"
        "result = autoprompt.search(sys.argv[1], workers=0)\n"
        "assert result.state == 'finished', result.state\n"
        "assert not ray.is_initialized()\n"
    )
    path = write_yaml(tmp_path / "search.yaml", tiny_config)
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Ray" not in done.stderr

"""Processes are killed and hang for real; the store ends whole."""

import logging
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from autoprompt.config import SearchConfig
from autoprompt.controller.interruption import Interruption
from autoprompt.controller.ray_cluster import cluster
from autoprompt.controller.ray_executor import RayExecutor
from autoprompt.controller.runner import create_search, run_trials
from autoprompt.preparation.prepare import Prepared, prepare
from autoprompt.progress import SearchProgress
from autoprompt.store import Store
from autoprompt.workers.plan_worker import PlanWorker, Worker
from autoprompt.workers.report import Report, Step
from autoprompt.workers.trial import TrialRunner
from autoprompt.workers.tuners import pack
from benchmarks.curves import Curves
from benchmarks.simulated import ReplayWorker
from tests.conftest import write_yaml

QUIET = SearchProgress(quiet=True)


@dataclass(frozen=True)
class Trouble:
    """The job of `Troubled`: what it replays, and a folder to remember by."""

    curves: Curves
    folder: str
    search: str = ""


class TroubledWorker(ReplayWorker):
    """At their second rung, trial 1 always kills its worker, 2 does so once, and 3 hangs."""

    def __init__(self, job: Trouble) -> None:
        super().__init__(job.curves)
        self._folder = Path(job.folder)

    def begin(self, trials: Sequence[dict[str, Any]]) -> None:
        super().begin(trials)
        self._rung = 0

    def advance(self) -> Step:
        self._rung += 1
        if self._rung == 2:
            if self._number == 1:
                os._exit(1)
            if self._number == 2 and not (self._folder / "killed").exists():
                (self._folder / "killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if self._number == 3:
                threading.Event().wait()
        step = super().advance()
        # Equal scores: early stopping stops none of them.
        for report in step.reports:
            assert isinstance(report, Report)
            report.score = 0.5 + self._rung / 10
        return step


class Troubled(TrialRunner):
    """None of its trials asks its worker for anything at its end."""

    def make_worker(self, job: Any) -> Worker:
        self._folder = Path(job.folder)
        return TroubledWorker(job)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        (self._folder / "asked to save").touch()


def prepared(tiny_config: dict[str, Any], tmp_path: Path) -> Prepared:
    config = SearchConfig.read(write_yaml(tmp_path / "search.yaml", tiny_config))
    return prepare(config, QUIET)


@pytest.mark.usefixtures("shared_ray")
def test_workers_that_die_and_trials_that_hang_cost_no_rung_and_no_other_trial(
    tiny_config: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tiny_config["search"] |= {"trials": 6, "workers": 2, "hung_after_seconds": 15}
    made = [
        {"rung": rung, "step": rung, "score": 0.5 + rung / 10, "loss": 1.0, "train_loss": 1.0}
        | {"seconds": 1.0}
        for rung in (1, 2, 3)
    ]
    curves = Curves(tuple({"kind": kind, "params": {}, "rungs": made} for kind in ("soft", "hard")))
    ready = replace(prepared(tiny_config, tmp_path), job=Trouble(curves, str(tmp_path)))  # type: ignore[arg-type]
    store = Store.open(tiny_config["store"])
    search = create_search(ready, store)
    monkeypatch.setattr(logging.getLogger("ray.tune"), "handlers", [caplog.handler])
    with cluster(ready.config.search, "tiny") as here:
        executor = RayExecutor(here, ready.config.search, QUIET, Troubled)
        run_trials(ready, store, search, executor, QUIET)
    assert [each.message for each in caplog.records if each.levelno >= logging.ERROR] == []
    trials = store.trials(search.id)
    assert [trial.number for trial in trials] == list(range(6))
    states = {trial.number: trial.state for trial in trials}
    assert states.pop(1) == states.pop(3) == "failed"
    assert set(states.values()) <= {"complete", "pruned"}
    always, once, hung = trials[1:4]
    assert always.attempts == 3
    assert always.error is not None
    assert always.error.startswith("its worker died (3 times): ")
    assert [rung.rung for rung in always.rungs] == [1]
    assert once.attempts == 2
    assert once.note is not None
    assert once.note.startswith("its worker died: ")
    assert [rung.rung for rung in once.rungs] == list(range(1, len(once.rungs) + 1))
    assert hung.attempts == 1
    assert hung.error is not None
    assert hung.error.startswith("reported nothing for 15 s")
    assert not (tmp_path / "asked to save").exists()


class MortalWorker(PlanWorker):
    """The first worker's device breaks after its first report, and stays so for as long as the
    process lives; a file says that it was the first."""

    def advance(self) -> Step:
        broken = Path(self._job.search)
        if any(self._steps_done.values()) and not broken.exists():
            broken.touch()
            pack.grade = _break  # type: ignore[assignment]
        return super().advance()


class Mortal(TrialRunner):
    def make_worker(self, job: Any) -> Worker:
        return MortalWorker(job)


def _break(*arguments: Any) -> None:
    raise RuntimeError("CUDA error: device-side assert triggered\nCompile with ...")


@pytest.mark.usefixtures("shared_ray")
def test_a_worker_whose_device_broke_is_replaced_and_what_was_under_way_begins_again(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    soft = {"length": 2, "learning_rate": 0.05, "steps": [2, 6]}
    tiny_config["space"] = {"soft": soft}
    tiny_config["search"] |= {"trials": 4, "trials_per_worker": 4, "rungs": 1, "workers": 1}
    # The search's name is what a worker knows of where it is.
    tiny_config["name"] = str(tmp_path / "died")
    ready = prepared(tiny_config, tmp_path)
    store = Store.open(tiny_config["store"])
    search = create_search(ready, store)
    with cluster(ready.config.search, "tiny") as here:
        executor = RayExecutor(here, ready.config.search, QUIET, Mortal)
        run_trials(ready, store, search, executor, QUIET)
    trials = store.trials(search.id)
    steps = [trial.plan["steps"] for trial in trials]
    assert set(steps) == {2, 6}
    assert [trial.state for trial in trials] == ["complete"] * 4
    assert [trial.attempts for trial in trials] == [1 if each == 2 else 2 for each in steps]
    assert [[rung.step for rung in trial.rungs] for trial in trials] == [[each] for each in steps]
    assert {trial.note for trial in trials if trial.attempts == 2} == {
        "its worker died: DeviceBrokenError: the device fails whatever this process asks of it: "
        "CUDA error: device-side assert triggered"
    }


@pytest.mark.usefixtures("shared_ray")
def test_a_model_that_is_not_on_the_workers_node_is_named_with_the_node(
    tiny_config: dict[str, Any], tmp_path: Path
) -> None:
    import platform

    tiny_config["search"] |= {"trials": 1, "workers": 1}
    ready = prepared(tiny_config, tmp_path)
    gone = ready.job.model.model_copy(update={"path": "/no/such/model"})
    ready = replace(ready, job=replace(ready.job, model=gone))
    store = Store.open(tiny_config["store"])
    search = create_search(ready, store)
    with cluster(ready.config.search, "tiny") as here:
        run_trials(ready, store, search, RayExecutor(here, ready.config.search, QUIET), QUIET)
    (trial,) = store.trials(search.id)
    assert trial.state == "failed"
    assert trial.error == (
        f"ModelError: model /no/such/model: no such file or folder (on {platform.node()})"
    )


def test_the_first_signal_asks_and_the_second_insists() -> None:
    before = signal.getsignal(signal.SIGTERM)
    interruption = Interruption(QUIET)
    with interruption.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) == before

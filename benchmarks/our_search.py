"""The same kind of search by Autoprompt, twice on the same data; or trials that do nothing.

python -m benchmarks.our_search --trials 16 --workers 2 [--together 4] [--rungs 3]
python -m benchmarks.our_search --nothing --trials 200
"""

import argparse
import itertools
import json
import os
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from ray import tune
from ray.tune import CheckpointConfig, RunConfig, TuneConfig, Tuner
from safetensors.torch import save

import autoprompt
from autoprompt.config import SearchConfig
from autoprompt.store import TrialRecord
from autoprompt.workers.plan_worker import Worker
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.report import Report, Step
from autoprompt.workers.trial import TrialRunner
from benchmarks.setting import SEED, STEPS, search_config

SOFT = {
    "length": {"low": 2, "high": 8},
    "learning_rate": {"low": 0.01, "high": 0.06, "log": True},
    "steps": STEPS,
    "batch_size": 16,
}
KV = SOFT | {"learning_rate": {"low": 0.003, "high": 0.03, "log": True}}
SPACES: dict[str, dict[str, Any]] = {
    "soft": {"soft": SOFT},
    # Short, as PEFT's side takes most of an hour even so.
    "soft_and_kv": {"soft": SOFT | {"steps": STEPS // 2, "position": "end"}, "kv": KV},
}


def config(
    trials: int, workers: int, together: int = 1, rungs: int = 1, space: str = "soft"
) -> SearchConfig:
    """The search; with one rung every trial runs to its end, as PEFT's do.

    Args:
        together: how many trials each worker carries out side by side.
    """
    return search_config(
        "bench",
        {"train": 512, "validation": 400, "test": 100},
        SPACES[space],
        {
            "trials": trials,
            "workers": workers,
            "trials_per_worker": together,
            "seed": SEED,
            "rungs": rungs,
            "judging": 100 if rungs > 1 else "all",
        },
    )


def run(
    trials: int, workers: int, together: int, rungs: int, searches: int, space: str
) -> dict[str, Any]:
    """A first search, and a second on the same data, in a text cache that was empty."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        # The unpacked model is shared with the demo; only the texts start from nothing.
        os.environ["AUTOPROMPT_CACHE"] = folder
        for name in ("first", "second")[:searches]:
            started = time.perf_counter()
            result = autoprompt.search(
                config(trials, workers, together, rungs, space),
                db=f"sqlite:///{folder}/bench.db",
                quiet=True,
            )
            ended = max(trial.finished_at for trial in result.trials if trial.finished_at)
            found[name] = {
                "seconds": time.perf_counter() - started,
                "seconds_to_best": (ended - result.record.started_at).total_seconds(),
                "trials": trials,
                "accuracy": result.best.score,
                "plans": [trial.plan for trial in result.trials],
                "texts_encoded": sum(trial.texts_encoded for trial in result.trials),
                "warm_starts": warm_starts(result.trials),
            }
    return found


def warm_starts(trials: Sequence[TrialRecord]) -> list[float]:
    """Seconds from the end of a worker's trial to the end of its next one, without the work."""
    gaps = []
    for worker in {trial.worker for trial in trials}:
        own = sorted((each for each in trials if each.worker == worker), key=_end)
        gaps += [
            (_end(after) - _end(before)).total_seconds() - after.seconds
            for before, after in itertools.pairwise(own)
        ]
    return gaps


def _end(trial: TrialRecord) -> datetime:
    assert trial.finished_at is not None
    return trial.finished_at


class IdleWorker(Worker):
    """Reports one rung of its one trial at once."""

    def __init__(self) -> None:
        self._prompt = Prompt("x", (1, 2)).to_bytes()
        self._log_probs = save({"log_probs": torch.zeros(400, 2)})

    def begin(self, trials: Sequence[dict[str, Any]]) -> None:
        self._numbers = [trial["number"] for trial in trials]

    def advance(self) -> Step:
        report = Report(
            number=self._numbers[0],
            rung=1,
            step=1,
            score=0.5,
            loss=0.7,
            train_loss=0.7,
            gradient_norm=None,
            prompt=self._prompt,
            log_probs=self._log_probs,
            seconds=0.0,
            examples=0,
            ended=True,
        )
        return Step([report], worker="idle:0")

    def add(self, trials: Sequence[dict[str, Any]]) -> None: ...

    def drop(self, numbers: Sequence[int]) -> None: ...


class Nothing(TrialRunner):
    """Trials that do nothing, through our controller."""

    def make_worker(self, job: Any) -> Worker:
        return IdleWorker()


class BareNothing(tune.Trainable):
    """The same without anything of ours in it."""

    def setup(self, config: dict[str, Any]) -> None: ...

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        return {"score": 0.5, "done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None: ...

    def load_checkpoint(self, checkpoint: Any) -> None: ...


def nothing(trials: int, workers: int) -> dict[str, float]:
    """Seconds for each trial that does nothing, through our controller and store and through bare
    Ray Tune, both with the actors kept and Tune's own files off."""
    from autoprompt.controller.ray_cluster import cluster
    from autoprompt.controller.ray_executor import RayExecutor
    from autoprompt.controller.runner import create_search, run_trials
    from autoprompt.preparation.prepare import prepare
    from autoprompt.progress import SearchProgress
    from autoprompt.store import Store

    progress = SearchProgress(quiet=True)
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare(config(trials, workers), progress)
        with cluster(prepared.config.search, prepared.config.title) as here:
            bare = Tuner(
                tune.with_resources(BareNothing, {"cpu": 1}),
                param_space={"x": tune.uniform(0, 1)},
                tune_config=TuneConfig(
                    num_samples=trials,
                    max_concurrent_trials=workers,
                    reuse_actors=True,
                    metric="score",
                    mode="max",
                ),
                run_config=RunConfig(
                    storage_path=folder,
                    verbose=0,
                    checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
                ),
            )
            started = time.perf_counter()
            bare.fit()
            bare_seconds = time.perf_counter() - started
            store = Store.open(f"sqlite:///{Path(folder) / 'bench.db'}")
            started = time.perf_counter()
            search = create_search(prepared, store)
            executor = RayExecutor(here, prepared.config.search, progress, Nothing)
            run_trials(prepared, store, search, executor, progress)
            seconds = time.perf_counter() - started
    return {"ours": seconds / trials, "bare": bare_seconds / trials, "trials": trials}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--together", type=int, default=1)
    parser.add_argument("--rungs", type=int, default=1)
    parser.add_argument("--space", choices=SPACES, default="soft")
    parser.add_argument("--searches", type=int, choices=[1, 2], default=2)
    parser.add_argument("--nothing", action="store_true")
    given = parser.parse_args()
    if given.nothing:
        print(json.dumps(nothing(given.trials, given.workers)))
    else:
        options = vars(given)
        del options["nothing"]
        print(json.dumps(run(**options)))

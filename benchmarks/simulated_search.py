"""Thousands of trials without a model, through our controller and store or through bare Ray Tune.

python -m benchmarks.simulated_search --trials 10000 [--bare]
python -m benchmarks.simulated_search --virtual --workers 1000 --trials 10000

Bare is Ray Tune with the same searcher, early stopping, workers and trials, and nothing of ours
that records, resumes or watches.
"""

import argparse
import gc
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from ray import tune
from ray.tune import CheckpointConfig, PlacementGroupFactory, RunConfig, TuneConfig, Tuner

from autoprompt.config import SearchConfig
from autoprompt.controller.asha_scheduler import AshaByKind
from autoprompt.controller.dispatch import Dispatch, Ledger
from autoprompt.controller.optuna_searcher import OptunaSearcher
from autoprompt.controller.ray_cluster import Cluster, cluster
from autoprompt.controller.ray_executor import RayExecutor
from autoprompt.controller.runner import create_search, run_trials
from autoprompt.controller.stopping_rule import Ladder
from autoprompt.controller.tune_adapters import TuneScheduler, TuneSearcher
from autoprompt.preparation.prepare import Prepared, prepare
from autoprompt.progress import SearchProgress
from autoprompt.store import Store
from autoprompt.workers.report import Failure, Report, Step
from benchmarks.curves import Curves
from benchmarks.setting import DEMO, MODEL, SEED, TASK
from benchmarks.simulated import Simulated
from benchmarks.virtual_cluster import VirtualCluster

QUIET = SearchProgress(quiet=True)


def ready(trials: int, workers: int) -> Prepared:
    """The demo's search, its model replaced by recorded curves."""
    config = SearchConfig.model_validate(
        {
            "name": "simulated",
            "model": MODEL.model_dump(),
            "data": {
                "path": str(DEMO / "data" / "movies.csv"),
                "sizes": {"train": 512, "validation": 256, "test": 100},
            },
            "task": TASK.model_dump(),
            "space": "quick",
            "search": {"trials": trials, "workers": workers, "seed": SEED},
        }
    )
    return replace(prepare(config, QUIET), job=Curves.read())  # type: ignore[arg-type]


def ours(prepared: Prepared, here: Cluster, folder: str) -> None:
    store = Store.open(f"sqlite:///{Path(folder) / 'bench.db'}")
    search = create_search(prepared, store)
    executor = RayExecutor(here, prepared.config.search, QUIET, Simulated)
    run_trials(prepared, store, search, executor, QUIET)
    counts = store.counts(search.id)
    assert counts["complete"] + counts["pruned"] == prepared.config.search.trials, counts


class NoLedger(Ledger):
    """Nothing is written down."""

    def began(self, trial: dict[str, Any]) -> None: ...

    def reported(self, report: Report, step: Step) -> None: ...

    def failed(self, failure: Failure, step: Step | None = None) -> None: ...

    def begins_again(self, number: int, why: str) -> None: ...


def bare(prepared: Prepared, here: Cluster, folder: str) -> None:
    space, spec = prepared.config.space, prepared.config.search
    rule = AshaByKind(Ladder(space.kinds, spec.rungs, spec.reduction_factor))
    source = OptunaSearcher(space, spec.seed, budget=spec.trials)
    dispatch = Dispatch(source, rule, NoLedger(), count=spec.trials)
    searcher = TuneSearcher(dispatch)
    Tuner(
        tune.with_resources(
            tune.with_parameters(Simulated, job=prepared.job), PlacementGroupFactory([here.needs])
        ),
        tune_config=TuneConfig(
            search_alg=searcher,
            scheduler=TuneScheduler(dispatch, searcher),
            num_samples=spec.trials,
            max_concurrent_trials=here.workers,
            reuse_actors=True,
        ),
        run_config=RunConfig(
            storage_path=folder,
            verbose=0,
            checkpoint_config=CheckpointConfig(checkpoint_at_end=False),
        ),
    ).fit()


def through_ray(trials: int, workers: int, is_bare: bool) -> dict[str, float]:
    """Seconds in all, and bytes by which the controller grows for each trial."""
    prepared = ready(trials, workers)
    spec = prepared.config.search
    with tempfile.TemporaryDirectory() as folder, cluster(spec, "simulated") as here:
        process = psutil.Process()
        gc.collect()
        before = process.memory_info().rss
        started = time.perf_counter()
        (bare if is_bare else ours)(prepared, here, folder)
        seconds = time.perf_counter() - started
        gc.collect()
        grown = process.memory_info().rss - before
    return {"seconds": seconds, "trials": trials, "bytes_per_trial": grown / trials}


def virtually(trials: int, workers: int) -> dict[str, Any]:
    prepared = ready(trials, workers)
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(f"sqlite:///{Path(folder) / 'bench.db'}")
        search = create_search(prepared, store)
        virtual = VirtualCluster(workers, seconds_to_start=0.1)
        run_trials(prepared, store, search, virtual, QUIET)
        outcome = virtual.outcome
        counts = store.counts(search.id)
        assert counts["complete"] + counts["pruned"] == trials, counts
    return {
        "utilisation": outcome.utilisation,
        "ms_per_decision": 1000 * statistics.fmean(outcome.decisions),
        "decisions": len(outcome.decisions),
        "makespan": outcome.makespan,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--bare", action="store_true")
    parser.add_argument("--virtual", action="store_true")
    given = parser.parse_args()
    if given.virtual:
        print(json.dumps(virtually(given.trials, given.workers)))
    else:
        print(json.dumps(through_ray(given.trials, given.workers, given.bare)))

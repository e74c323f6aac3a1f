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
from autoprompt.controller.optuna_searcher import OptunaSearcher
from autoprompt.controller.ray_cluster import Cluster, cluster
from autoprompt.controller.runner import create_search, run_trials
from autoprompt.preparation.prepare import Prepared, prepare
from autoprompt.progress import SearchProgress
from autoprompt.store import Store
from benchmarks import virtual_cluster
from benchmarks.curves import Curves
from benchmarks.setting import DEMO, MODEL, SEED, TASK
from benchmarks.simulated import Simulated

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
    run_trials(prepared, store, search, here, QUIET, trainable=Simulated)
    counts = store.counts(search.id)
    assert counts["complete"] + counts["pruned"] == prepared.config.search.trials, counts


def bare(prepared: Prepared, here: Cluster, folder: str) -> None:
    space, spec = prepared.config.space, prepared.config.search
    Tuner(
        tune.with_resources(
            tune.with_parameters(Simulated, job=prepared.job), PlacementGroupFactory([here.needs])
        ),
        tune_config=TuneConfig(
            search_alg=OptunaSearcher(space, spec.seed),
            scheduler=AshaByKind(space.kinds, spec.rungs, spec.reduction_factor),
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
        config = prepared.config
        outcome = virtual_cluster.run(
            config.space, config.search, store, search.id, Curves.read(), seconds_to_start=0.1
        )
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

"""A search with Ray Tune, Optuna and PEFT, as their documentation puts them together.

Each trial loads the model, trains a prompt and evaluates it; ASHA would stop some early, but a
trial that reports once has nothing to stop.

    python -m benchmarks.peft_ray_search --trials 4 --workers 2
"""

import argparse
import json
import os
import tempfile
import time

import ray
import torch
from ray import tune
from ray.tune.search.optuna import OptunaSearch

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def objective(config: dict[str, float]) -> None:
    """One trial."""
    torch.set_num_threads(1)
    from benchmarks.peft_prompt_tuning import run

    timed = run(learning_rate=config["learning_rate"], virtual_tokens=int(config["virtual_tokens"]))
    tune.report({"accuracy": timed.accuracy})


def run(trials: int, workers: int) -> dict[str, float]:
    """Seconds from the start to the best prompt, and its accuracy."""
    started = time.perf_counter()
    ray.init(
        num_cpus=workers,
        log_to_driver=False,
        include_dashboard=False,
        runtime_env={"env_vars": {"PYTHONPATH": ROOT, "RAY_CHDIR_TO_TRIAL_DIR": "0"}},
    )
    with tempfile.TemporaryDirectory() as folder:
        results = tune.Tuner(
            tune.with_resources(objective, {"cpu": 1}),
            param_space={
                "virtual_tokens": tune.randint(2, 9),
                "learning_rate": tune.loguniform(0.01, 0.06),
            },
            tune_config=tune.TuneConfig(
                metric="accuracy",
                mode="max",
                search_alg=OptunaSearch(seed=0),
                num_samples=trials,
                max_concurrent_trials=workers,
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()
        best = results.get_best_result().metrics["accuracy"]
    seconds = time.perf_counter() - started
    ray.shutdown()
    return {"seconds": seconds, "trials": trials, "accuracy": best}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    print(json.dumps(run(given.trials, given.workers)))

"""A search with Ray Tune and PEFT, as their documentation puts them together, over plans that a
search of ours has drawn.

Each trial loads the model, trains a prompt and evaluates it: a soft prompt by prompt tuning, a KV
prompt by prefix tuning, with the plan's own length, rate and steps. With --stopping, ASHA sees each
at a quarter and a half of its steps, as ours does.

    python -m benchmarks.our_search --space soft_and_kv --trials 16 > ours.json
    python -m benchmarks.peft_ray_search --plans ours.json --workers 2 [--stopping]
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

import ray
import torch
from ray import tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

#: Rungs are told as times 1, 2 and 4, where ASHA expects them.
FACTOR, LAST = 2, 4


def objective(config: dict[str, Any]) -> None:
    """One trial."""
    torch.set_num_threads(1)
    from benchmarks.peft_prompt_tuning import run

    plan, stopping = config["plan"], config["stopping"]
    steps = plan["steps"]
    rungs = {steps // 4: 1, steps // 2: 2} if stopping else {}
    began = time.perf_counter()
    told: list[float] = []

    def report(rung: int, accuracy: float) -> None:
        told.append(time.perf_counter())
        tune.report({"accuracy": accuracy, "rung": rung})

    timed = run(
        adapter="prefix" if plan["kind"] == "kv" else "prompt",
        learning_rate=plan["learning_rate"],
        virtual_tokens=plan["length"],
        steps=steps,
        rungs=rungs,
        report=report,
    )
    last = {"accuracy": timed.accuracy, "rung": LAST, "steps": steps}
    if stopping:
        first, second = told
        end = time.perf_counter()
        # Between two reports are steps and an evaluation.
        early, late = steps // 2 - steps // 4, steps - steps // 2
        a_step = ((end - second) - (second - first)) / (late - early)
        load = (first - began) - (second - first) + (early - steps // 4) * a_step
        last |= {"a_step": a_step, "beside": load + (second - first) - early * a_step}
    tune.report(last)


def run(plans: list[dict[str, Any]], workers: int, stopping: bool) -> dict[str, Any]:
    """Seconds from the start to the best prompt, and its accuracy; where some trials are stopped,
    also what they would have taken if none had been, by what a step took of those that were not.
    """
    started = time.perf_counter()
    ray.init(
        num_cpus=workers,
        log_to_driver=False,
        include_dashboard=False,
        runtime_env={"env_vars": {"PYTHONPATH": ROOT, "RAY_CHDIR_TO_TRIAL_DIR": "0"}},
    )
    asha = ASHAScheduler(time_attr="rung", max_t=LAST, grace_period=1, reduction_factor=FACTOR)
    with tempfile.TemporaryDirectory() as folder:
        results = tune.Tuner(
            tune.with_resources(objective, {"cpu": 1}),
            param_space={"plan": tune.grid_search(plans), "stopping": stopping},
            tune_config=tune.TuneConfig(
                metric="accuracy",
                mode="max",
                scheduler=asha if stopping else FIFOScheduler(),
                max_concurrent_trials=workers,
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()
        best = results.get_best_result().metrics["accuracy"]
        ended = [each.metrics for each in results if "a_step" in (each.metrics or {})]
    seconds = time.perf_counter() - started
    ray.shutdown()
    found = {"seconds": seconds, "trials": len(plans), "accuracy": best}
    if ended:
        a_step, beside = (mean(each[key] for each in ended) for key in ("a_step", "beside"))
        alone = sum(plan["steps"] * a_step + beside for plan in plans)
        found["unstopped"] = alone / workers
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plans", type=Path, required=True, help="what our_search printed")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--stopping", action="store_true")
    given = parser.parse_args()
    drawn = json.loads(given.plans.read_text(encoding="utf-8").splitlines()[-1])["first"]["plans"]
    print(json.dumps(run(drawn, given.workers, given.stopping)))

"""What all labelled texts are worth: finalists of several templates and kinds carried out on folds,
their vote, its probabilities, and what it does not answer.

512 + 256 labelled movie snippets, 1,000 unseen ones; then Amazon reviews and tweets, on which
nothing was trained or chosen.

    python -m benchmarks.bagged --seed 0
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import autoprompt
from autoprompt.config import SearchConfig
from autoprompt.workers.task import TaskSpec
from benchmarks.setting import DEMO, ELSEWHERE, TASK, elsewhere, search_config

#: One query token a text: of soft prompts so many would not vote in twice the time of one.
KINDS: dict[str, Any] = {
    "kv": {
        "length": [4, 8],
        "init": ["template", "vocabulary"],
        "learning_rate": {"low": 0.006, "high": 0.03, "log": True},
        "steps": 120,
        "batch_size": 16,
        "position": "end",
    },
}

#: A template beside the task's own, and how many plans are carried out on folds.
OTHER = "Review: {text}\nThe writer's opinion is"
PLANS = 6

MOVIES = DEMO / "data" / "movies.csv"


def bagged_search(
    seed: int,
    trials: int,
    plans: int,
    sizes: dict[str, int],
    file: Path = MOVIES,
    task: TaskSpec = TASK,
    other: str = OTHER,
    baselines: Sequence[str] = ("default",),
) -> SearchConfig:
    """A search whose finalists are carried out on five folds.

    Args:
        other: a template beside the task's own.
    """
    searched = search_config(
        "bagged",
        sizes,
        {"template": [task.template, other], **KINDS},
        {"trials": trials, "workers": 2, "trials_per_worker": 8, "seed": seed},
        file,
        task,
    )
    content = searched.model_dump(mode="json")
    content["ensemble"] = {"select": "varied", "size": plans}
    content["bagging"] = {"folds": 5, "plans": plans}
    content["abstain"] = {"error": 0.05}
    content["baselines"] = list(baselines)
    return SearchConfig.model_validate(content)


def run(seed: int, trials: int, plans: int) -> dict[str, Any]:
    """One search, and what its vote is worth on texts that nothing saw."""
    with tempfile.TemporaryDirectory() as folder:
        searched = bagged_search(
            seed, trials, plans, {"train": 512, "validation": 256, "test": 1000}
        )
        started = time.perf_counter()
        url = f"sqlite:///{folder}/bench.db"
        result = autoprompt.search(searched, db=url, quiet=True)
        seconds = time.perf_counter() - started
        assert result.test is not None
        tables = {"movies": result.test}
        for name in ELSEWHERE:
            tables[name] = result.evaluate(elsewhere(name, folder), quiet=True)
        kept = ("texts", "no_prompt", "best", "mean", "best_member", "ensemble", "abstain")
        return {
            "seed": seed,
            "seconds": seconds,
            "trials": trials,
            "voters": [(voter.number, voter.kind, voter.score) for voter in result.ensemble.voters],
            "members": len(result.ensemble.members),
            "out_of_fold": result.ensemble.scores["ensemble"],
            "ratio": result.ensemble.scores["disagreement_error_ratio"],
            "baselines": result.test.get("baselines"),
        } | {
            name: {key: table[key] for key in kept}
            | {"ece": table["probabilities"]["ensemble"]["ece"]}
            for name, table in tables.items()
        }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--plans", type=int, default=PLANS)
    print(json.dumps(run(**vars(parser.parse_args()))))

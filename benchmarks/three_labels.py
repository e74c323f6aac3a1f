"""Tasks of three labels and 500 labelled texts: the vote of folds beside every baseline.

- `ratings`: the levels of the movie snippets' own ratings;
- `sources`: whether a text is about a movie, about a product, or a tweet.

    python -m benchmarks.three_labels sources [--seed 0]
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

import autoprompt
from autoprompt.config import SearchConfig
from autoprompt.workers.task import TaskSpec
from benchmarks.bagged import PLANS, bagged_search
from benchmarks.ratings import TASK as RATINGS
from benchmarks.setting import DEMO, SEED

SOURCES = TaskSpec(
    template="Text: {text}\nThis text is about a",
    label_words={"movie": ("movie",), "product": ("product",), "tweet": ("tweet",)},
)

TRIALS = 16

#: Beside the task's own template.
TEMPLATES = {
    "ratings": "Review: {text}\nThe writer's opinion is",
    "sources": "Text: {text}\nWhere was it posted? It is a",
}


def sources_file(folder: str) -> Path:
    """As many texts of each source."""
    kinds = {"movie": "movies", "product": "amazon", "tweet": "tweets"}
    parts = [
        pd.read_csv(DEMO / "data" / f"{file}.csv")
        .sample(1000, random_state=SEED)
        .assign(label=label)
        for label, file in kinds.items()
    ]
    path = Path(folder) / "sources.csv"
    pd.concat(parts).to_csv(path, index=False)
    return path


def config(what: str, seed: int, folder: str) -> SearchConfig:
    ratings = what == "ratings"
    return bagged_search(
        seed,
        trials=TRIALS,
        plans=PLANS,
        sizes={"train": 332, "validation": 168, "test": 1000},
        file=DEMO / "data" / "ratings.csv" if ratings else sources_file(folder),
        task=RATINGS if ratings else SOURCES,
        other=TEMPLATES[what],
        baselines=["default", "encoder"],
    )


def run(what: str, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        searched = config(what, seed, folder)
        started = time.perf_counter()
        result = autoprompt.search(searched, db=f"sqlite:///{folder}/bench.db", quiet=True)
        seconds = time.perf_counter() - started
        assert result.test is not None
        kept = ("no_prompt", "best", "mean", "ensemble", "baselines")
        return {
            "seed": seed,
            "seconds": seconds,
            "trials": TRIALS,
            "members": len(result.ensemble.members),
        } | {key: result.test[key] for key in kept}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=sorted(TEMPLATES))
    parser.add_argument("--seed", type=int, default=0)
    print(json.dumps(run(**vars(parser.parse_args()))))

"""A task of three labels, the levels of the movie snippets' own ratings: the best prompt of nothing
but words beside a bag of words on the same texts.

    python -m benchmarks.ratings [--seed 0] [--trials 16]
"""

import argparse
import json
import tempfile
import time
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import autoprompt
from autoprompt.config import SearchConfig
from autoprompt.statistics.intervals import estimate
from autoprompt.workers.metrics import METRICS
from autoprompt.workers.rows import as_text
from autoprompt.workers.task import TaskSpec
from benchmarks.setting import search_config

TASK = TaskSpec(
    template="Review: {text}\nRating:",
    label_words={"low": ("bad",), "middle": ("okay",), "high": ("great",)},
)


def config(seed: int, trials: int) -> SearchConfig:
    return search_config(
        "ratings",
        {"train": 512, "validation": 256, "test": 1000},
        "words",
        {"trials": trials, "workers": 2, "trials_per_worker": 4, "seed": seed},
        file="ratings",
        task=TASK,
    )


def run(seed: int, trials: int) -> dict[str, Any]:
    """The best words-only prompt on the test texts, and the bag of words; both learn from the train
    texts, and choose by others than the test's."""
    searched = config(seed, trials)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        result = autoprompt.search(searched, db=f"sqlite:///{folder}/bench.db", quiet=True)
        seconds = time.perf_counter() - started
        assert result.test is not None
        best, prompt = result.test["best"], result.best.prompt
        alone = result.test["no_prompt"]
    splits = searched.splits()
    bags = GridSearchCV(
        make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            LogisticRegression(max_iter=1000),
        ),
        {"logisticregression__C": [0.1, 1, 10, 100]},
        cv=5,
    )
    # It may learn from the validation texts, too: there is nothing else that it would use them for.
    texts = [as_text(text) for text in (*splits.train.texts, *splits.validation.texts)]
    bags.fit(texts, [*splits.train.labels, *splits.validation.labels])
    predicted = bags.predict([as_text(text) for text in splits.test.texts])
    bag = estimate(METRICS["accuracy"], np.array(splits.test.labels), predicted)
    return {
        "seed": seed,
        "seconds": seconds,
        "trials": trials,
        "prompt": prompt,
        "best": best,
        "no_prompt": alone,
        "bag": bag.as_dict(),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=16)
    print(json.dumps(run(**vars(parser.parse_args()))))

"""The same soft prompt by our engine, its 8 tokens after the text.

Run twice in one process: the first trial of a search computes the texts, later ones find them.

    python -m benchmarks.our_soft_trial [--dtype float32]
"""

import argparse
import json
import time
from dataclasses import asdict

import torch

from benchmarks.setting import (
    BATCH_SIZE,
    LEARNING_RATE,
    MODEL,
    SEED,
    STEPS,
    TASK,
    VIRTUAL_TOKENS,
    Timed,
    movie_splits,
)
from search_spaces import SoftPlan
from workers.prompt import soft_prompt
from workers.scoring import Scorer, load_scorer
from workers.tuners import Examples, tune

PLAN = SoftPlan(
    seed=SEED,
    length=VIRTUAL_TOKENS,
    init="vocabulary",
    learning_rate=LEARNING_RATE,
    steps=STEPS,
    batch_size=BATCH_SIZE,
    position="suffix",
)


def trial(scorer: Scorer, examples: Examples, *, cold: bool) -> Timed:
    """One trial from its plan to its accuracy, as a worker runs it."""
    started = time.perf_counter()
    if cold:
        scorer.prefill(examples.validation, {"suffix"})
        scorer.prefill(examples.train, {"suffix"})
    (report,) = tune(PLAN, scorer, examples, fractions=(1.0,))
    ended = time.perf_counter()
    vectors = report.prompt.vectors
    assert vectors is not None
    prompt = soft_prompt(vectors, "suffix", scorer.model)
    again = time.perf_counter()
    scorer.log_probs([prompt], examples.validation)
    evaluate = time.perf_counter() - again
    return Timed(ended - started - evaluate, evaluate, report.score)


def run(dtype: str = "auto") -> dict[str, Timed]:
    """The first trial and a later one."""
    scorer = load_scorer(MODEL.model_copy(update={"dtype": dtype}), TASK, VIRTUAL_TOKENS)
    splits = movie_splits()
    examples = Examples(
        scorer.tokenize(splits.train.texts),
        torch.tensor(splits.train.labels),
        scorer.tokenize(splits.validation.texts),
        torch.tensor(splits.validation.labels),
    )
    return {
        "first": trial(scorer, examples, cold=True),
        "later": trial(scorer, examples, cold=False),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", default="auto")
    timed = run(parser.parse_args().dtype)
    print(json.dumps({name: asdict(each) for name, each in timed.items()}))

"""Seconds of a training step, in whichever checkout this is run.

python -m benchmarks.step_seconds
PYTHONPATH=CHECKOUT python benchmarks/step_seconds.py     of another version

Soft prompts of 8 tokens behind the text and behind the whole template, on batches of 16 cached
texts: one by itself, and one's part of four side by side.
"""

import json
import statistics
import time

import torch

from autoprompt.search_spaces import SoftPlan
from autoprompt.workers.scorers import load_scorer
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners import Examples, Pack
from benchmarks.setting import BATCH_SIZE, LEARNING_RATE, MODEL, TASK, VIRTUAL_TOKENS, movie_splits

#: Steps that are timed together, after two that warm up, so often.
STEPS = 4
REPEATS = 3

#: Texts that are read: four batches.
TEXTS = 4 * BATCH_SIZE


def seconds_of(scorer: Scorer, examples: Examples, plan: SoftPlan, count: int) -> float:
    """One prompt's part of one step."""
    plans = {seed: plan.model_copy(update={"seed": seed}) for seed in range(count)}
    pack = Pack(plans, scorer, examples, fractions=(1.0,))
    started = time.perf_counter()
    while pack.numbers:
        pack.advance()
    return (time.perf_counter() - started) / plan.steps / count


def main() -> None:
    scorer = load_scorer(MODEL, TASK, VIRTUAL_TOKENS)
    train = movie_splits().train
    texts, labels = scorer.tokenize(train.texts[:TEXTS]), torch.tensor(train.labels[:TEXTS])
    # A rung is judged by one text, which costs little beside the steps before it.
    examples = Examples(texts, labels, texts[:1], labels[:1])
    found = {}
    for position in ("suffix", "end"):
        scorer.family.expect({position})
        for count in (1, 4):
            plan = SoftPlan(
                seed=0,
                length=VIRTUAL_TOKENS,
                init="vocabulary",
                learning_rate=LEARNING_RATE,
                steps=STEPS,
                batch_size=BATCH_SIZE,
                position=position,
            )
            seconds_of(scorer, examples, plan.model_copy(update={"steps": 2}), count)
            found[f"{position}, {count}"] = statistics.median(
                seconds_of(scorer, examples, plan, count) for _ in range(REPEATS)
            )
    print(json.dumps(found))


if __name__ == "__main__":
    main()

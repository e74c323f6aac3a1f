"""How a KV prompt that is trained on movies does on movies, Amazon reviews and tweets, by where it
starts from, its length, its rate and its steps. No text here is one that `our_answer` scores.

    python -m benchmarks.kv_starts [--starts template vocabulary "The answer is"] [--seeds 0 1]
                                   [--lengths 8] [--rates 0.006 0.012 0.024] [--steps 120]
                                   [--texts 600]
"""

import argparse
import json
import sys
from itertools import product
from typing import Any, cast, get_args

import pandas as pd
import torch

from autoprompt.search_spaces import KVPlan
from autoprompt.search_spaces.kind_spaces import Init
from autoprompt.workers.answers import answers_of
from autoprompt.workers.scorers import load_scorer
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners import Examples, Pack, Progress
from benchmarks.setting import BATCH_SIZE, DEMO, ELSEWHERE, MODEL, SEED, TASK, movie_splits


def plans(
    seed: int, starts: list[str], lengths: list[int], rates: list[float], steps: list[int]
) -> list[KVPlan]:
    """One of each.

    Args:
        starts: the name of an init, or else a phrase.
    """
    return [
        KVPlan(
            seed=seed,
            length=length,
            init=cast("Init", start) if start in get_args(Init) else "text",
            init_text=None if start in get_args(Init) else start,
            learning_rate=rate,
            steps=count,
            batch_size=BATCH_SIZE,
            position="end",
        )
        for start, length, rate, count in product(starts, lengths, rates, steps)
    ]


def unseen(name: str, count: int, scored: set[str]) -> pd.DataFrame:
    """Texts of one of the demo's files that no benchmark's line scores."""
    texts = pd.read_csv(DEMO / "data" / f"{name}.csv")
    if name in ELSEWHERE:
        texts = texts.drop(texts.sample(1000, random_state=SEED).index)
    texts = texts[texts.label.isin(TASK.label_words) & ~texts.text.str.strip().isin(scored)]
    return texts.sample(min(count, len(texts)), random_state=1)


def run(seed: int, drawn: list[KVPlan], count: int, scorer: Scorer) -> list[dict[str, Any]]:
    """A row for each plan: its settings, and its accuracy on validation and on each file."""
    splits = movie_splits(seed, validation=256)
    examples = Examples(
        scorer.tokenize(splits.train.texts),
        torch.tensor(splits.train.labels),
        scorer.tokenize(splits.validation.texts),
        torch.tensor(splits.validation.labels),
    )
    pack, found = Pack(dict(enumerate(drawn)), scorer, examples, fractions=(1.0,)), {}
    while pack.numbers:
        for told in pack.advance():
            assert isinstance(told.outcome, Progress), told.outcome
            found[told.number] = told.outcome
            print(f"seed {seed}: {len(found)} of {len(drawn)} trained", file=sys.stderr)
    prompts = [found[number].prompt for number in range(len(drawn))]
    rows = [
        {
            "seed": seed,
            "start": plan.init_text or plan.init,
            "length": plan.length,
            "rate": plan.learning_rate,
            "steps": plan.steps,
            "validation": found[number].score,
        }
        for number, plan in enumerate(drawn)
    ]
    scored = {str(text).strip() for text in (*splits.train.texts, *splits.validation.texts)}
    scored |= {str(text).strip() for text in splits.test.texts}
    names = answers_of(TASK).names
    for file in ("movies", *ELSEWHERE):
        texts = unseen(file, count, scored)
        right = torch.tensor([names.index(label) for label in texts.label])
        said = scorer.score_texts(prompts, list(texts.text)).argmax(-1)
        for row, own in zip(rows, (said == right).float().mean(1).tolist(), strict=True):
            row[file] = round(own, 4)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", nargs="+", default=["template", "vocabulary", "labels"])
    parser.add_argument("--lengths", type=int, nargs="+", default=[8])
    parser.add_argument("--rates", type=float, nargs="+", default=[0.006, 0.012, 0.024])
    parser.add_argument("--steps", type=int, nargs="+", default=[120])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--texts", type=int, default=600)
    given = parser.parse_args()
    loaded = load_scorer(MODEL, TASK, 16)
    settings = given.starts, given.lengths, given.rates, given.steps
    found = [
        row
        for seed in given.seeds
        for row in run(seed, plans(seed, *settings), given.texts, loaded)
    ]
    print(json.dumps(found))

"""Learning curves recorded from real trials, to be replayed where no model is.

python -m benchmarks.curves --trials 24   records benchmarks/curves.json anew
"""

import argparse
import json
import math
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from autoprompt.controller.optuna_searcher import OptunaSearcher
from autoprompt.search_spaces import load_space, plan_from_dict
from autoprompt.search_spec import SearchSpec
from autoprompt.workers.scorers import load_scorer
from autoprompt.workers.tuners import Examples, tune
from benchmarks.setting import MODEL, SEED, TASK, movie_splits

RECORDED = Path(__file__).parent / "curves.json"

VALIDATION_TEXTS = 256
FIELDS = ("rung", "step", "score", "loss", "train_loss")

#: How much a replayed score differs from the recorded one: two trials are never quite the same.
NOISE = 0.01


@dataclass(frozen=True)
class Curves:
    """Recorded trials: kind, params, and rungs with step, score, losses and seconds.

    Attributes:
        speed: how many times as fast as recorded a trial is replayed; 0 takes no time at all.
    """

    trials: tuple[dict[str, Any], ...]
    speed: float = 0.0
    search: str = ""

    @classmethod
    def read(cls, speed: float = 0.0) -> "Curves":
        return cls(tuple(json.loads(RECORDED.read_text(encoding="utf-8"))), speed)

    def replay(self, plan: dict[str, Any]) -> list[dict[str, Any]]:
        """The rungs of the recorded trial nearest to a plan; the same plan gives the same rungs."""
        same_kind = [trial for trial in self.trials if trial["kind"] == plan["kind"]]
        nearest = min(same_kind, key=lambda trial: _distance(trial["params"], plan))
        noise = random.Random(plan["seed"])
        last = nearest["rungs"][-1]["rung"]
        return [
            rung
            | {"score": min(max(rung["score"] + noise.gauss(0, NOISE), 0.0), 1.0)}
            | {"ended": rung["rung"] == last}
            for rung in nearest["rungs"]
        ]


def _distance(params: dict[str, Any], plan: dict[str, Any]) -> float:
    total = 0.0
    for name, value in params.items():
        other = plan.get(name.split(".", 1)[-1])
        if isinstance(value, (int, float)) and isinstance(other, (int, float)):
            total += abs(math.log((value + 1e-9) / (other + 1e-9)))
        else:
            total += value != other
    return total


def record(trials: int) -> None:
    """Run trials of the quick space on the demo's model to their ends, and write their curves."""
    splits = movie_splits()
    space = load_space("quick", Path(), "benchmark")
    fractions = SearchSpec().fractions
    scorer = load_scorer(MODEL, TASK, space.longest_prompt())
    examples = Examples(
        scorer.tokenize(splits.train.texts),
        torch.tensor(splits.train.labels),
        scorer.tokenize(splits.validation.texts[:VALIDATION_TEXTS]),
        torch.tensor(splits.validation.labels[:VALIDATION_TEXTS]),
    )
    searcher = OptunaSearcher(space, SEED)
    found = []
    for number in range(trials):
        [drawn] = searcher.draw(1)
        rungs, started = [], time.perf_counter()
        for progress in tune(plan_from_dict(drawn["plan"]), scorer, examples, fractions):
            now = time.perf_counter()
            rung = {name: getattr(progress, name) for name in FIELDS}
            rungs.append(rung | {"seconds": round(now - started, 3)})
            started = now
        found.append({"kind": drawn["plan"]["kind"], "params": drawn["params"], "rungs": rungs})
        print(f"trial {number}: {rungs[-1]['score']:.4f}", file=sys.stderr)
        RECORDED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=24)
    record(parser.parse_args().trials)

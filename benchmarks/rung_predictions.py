"""What real prompts say of 5,000 validation texts at each of their rungs: recorded once, and
replayed by `benchmarks.judging`.

Soft prompts on the demo's model and movie snippets, their settings drawn at random, each trained to
its end. The file holds log-probabilities [N, R, B, L] of N trials at R rungs, the labels [B], and
the plans.

    python -m benchmarks.rung_predictions predictions.safetensors [--trials 48] [--longest 8]
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from autoprompt.controller.optuna_searcher import OptunaSearcher
from autoprompt.search_spaces import plan_from_dict
from autoprompt.search_spaces.schema import Space
from autoprompt.search_spec import SearchSpec
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.scorers import load_scorer
from autoprompt.workers.tuners import Examples, Pack
from autoprompt.workers.vote import Floats
from benchmarks.setting import MODEL, SEED, TASK, movie_splits

VALIDATION_TEXTS = 5000
TOGETHER = 8


def space(longest: int) -> Space:
    """Soft prompts of 1 to so many tokens, some of which hardly learn; at the end, where a text
    costs the prompt's own tokens alone."""
    return Space.model_validate(
        {
            "soft": {
                "length": {"low": 1, "high": longest, "log": True},
                "init": ["random", "vocabulary", "labels"],
                "learning_rate": {"low": 0.003, "high": 0.1, "log": True},
                "steps": 60,
                "batch_size": 16,
                "position": "end",
            }
        }
    )


@dataclass(frozen=True)
class Predictions:
    """Recorded trials.

    Attributes:
        log_probs: [N, R, B, L].
        labels: [B].
        steps: [R], of training, at the rungs.
    """

    log_probs: Floats
    labels: list[int]
    steps: list[int]

    @classmethod
    def read(cls, file: str) -> "Predictions":
        with safe_open(file, framework="np") as stored:
            steps = json.loads(stored.metadata()["steps"])
            labels = stored.get_tensor("labels").tolist()
            return cls(stored.get_tensor("log_probs"), labels, steps)


def record(file: str, trials: int, longest: int) -> None:
    """Train the trials, and store what their prompts say."""
    started = time.perf_counter()
    splits = movie_splits(validation=VALIDATION_TEXTS)
    model = MODEL.model_copy(update={"dtype": "float32"})
    scorer = load_scorer(model, TASK, longest)
    few = slice(0, 2 * TOGETHER)  # the pack judges, too, and none of it is kept
    examples = Examples(
        scorer.tokenize(splits.train.texts),
        torch.tensor(splits.train.labels),
        scorer.tokenize(splits.validation.texts[few]),
        torch.tensor(splits.validation.labels[few]),
    )
    searcher = OptunaSearcher(space(longest), SEED, budget=trials, together=TOGETHER)
    plans: list[dict[str, Any]] = []
    prompts: list[Prompt] = []
    steps: list[int] = []
    while drawn := searcher.draw(TOGETHER):
        pack = Pack(
            {trial["number"]: plan_from_dict(trial["plan"]) for trial in drawn},
            scorer,
            examples,
            SearchSpec().fractions,
        )
        rungs: dict[int, list[Prompt]] = {trial["number"]: [] for trial in drawn}
        while pack.numbers:
            for number, outcome in pack.advance():
                assert not isinstance(outcome, Exception), outcome
                rungs[number].append(outcome.prompt)
                steps = sorted({*steps, outcome.step})
        plans += [trial["plan"] for trial in drawn]
        prompts += [prompt for trial in drawn for prompt in rungs[trial["number"]]]
        print(f"{len(plans)} trained, {time.perf_counter() - started:.0f} s", file=sys.stderr)
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        print(f"{done} texts, {time.perf_counter() - started:.0f} s", file=sys.stderr)

    log_probs = scorer.score_texts(prompts, splits.validation.texts, advance)
    shape = (len(plans), len(steps), *log_probs.shape[1:])
    tensors = {
        "log_probs": log_probs.reshape(shape).contiguous(),
        "labels": torch.tensor(splits.validation.labels),
    }
    save_file(tensors, file, {"steps": json.dumps(steps), "plans": json.dumps(plans)})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--trials", type=int, default=48)
    parser.add_argument("--longest", type=int, default=8, help="tokens of the longest prompt")
    given = parser.parse_args()
    record(given.file, given.trials, given.longest)

"""What a search's answer is worth: its ensemble on movie snippets that no trial saw.

A preset, 512 snippets to train on and 256 to choose by; then Amazon reviews and tweets, on which
nothing was trained or chosen.

    python -m benchmarks.our_answer --seed 0 --trials 24 --workers 2 [--position end]
    python -m benchmarks.our_answer --space kv --together 6
"""

import argparse
import json
import tempfile
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

import autoprompt
from autoprompt.config import SearchConfig
from autoprompt.results import SearchResult
from autoprompt.search_model import model_of
from autoprompt.search_spaces import load_space
from autoprompt.store import PromptRecord
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.question import ids_of
from autoprompt.workers.rows import as_text
from autoprompt.workers.scorers import load_scorer
from autoprompt.workers.tuners.fluency import surprise, text_surprise
from benchmarks.setting import ELSEWHERE, elsewhere, search_config

#: Members of a varied vote are no further behind the best.
MARGIN = 0.015

#: Train texts that a prompt's words are read behind.
_BEHIND = 32


def run(
    seed: int,
    trials: int,
    workers: int,
    test: int,
    abroad: bool,
    space: str = "quick",
    together: int = 4,
    position: str | None = None,
) -> dict[str, Any]:
    """One search, and its scores on held-out texts of three kinds.

    Args:
        space: a preset.
        together: how many trials each worker carries out side by side.
        position: where its soft prompts stand; None where the preset has them.
    """
    searched = load_space(space, Path(), space).model_dump(mode="json", exclude_none=True)
    if position is not None:
        searched["soft"]["position"] = position
    config = search_config(
        "answer",
        {"train": 512, "validation": 256, "test": test},
        searched,
        {"trials": trials, "workers": workers, "trials_per_worker": together, "seed": seed},
    )
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        result = autoprompt.search(config, db=f"sqlite:///{folder}/bench.db", quiet=True)
        seconds = time.perf_counter() - started
        assert result.test is not None
        scored = {"movies": result.test}
        for name in ELSEWHERE if abroad else ():
            scored[name] = result.evaluate(elsewhere(name, folder), quiet=True)
        kept = ("texts", "no_prompt", "best", "mean", "best_member", "ensemble")
        return {
            "seed": seed,
            "seconds": seconds,
            "trials": trials,
            "steps": max(trial.plan.get("steps", 0) for trial in result.trials),
            "members": len(result.ensemble.members),
            "validation": result.ensemble.validation,
            "warnings": result.record.warnings,
            "varied": varied(result),
            "readable": readable(result) if space == "words" else None,
        } | {name: {key: table[key] for key in kept} for name, table in scored.items()}


def varied(result: SearchResult) -> dict[str, float]:
    """Up to five prompts that ask in templates of their own, none more than 1.5 points behind the
    best on validation: on which part of the validation texts two of them disagree, and what their
    vote scores there beside their mean."""
    templates = {trial.number: trial.plan.get("template") for trial in result.trials}
    records = result.prompts()
    chosen: dict[Any, PromptRecord] = {}
    for record in records:
        if record.score >= records[0].score - MARGIN:
            chosen.setdefault(templates[record.number], record)
    members = list(chosen.values())[:5]
    said = np.stack([result.answers.unpacked(member.log_probs) for member in members])
    decided = [result.answers.decided(own) for own in said]
    right = np.array(result.validation_labels)
    pairs = [float((one != other).mean()) for one, other in combinations(decided, 2)]
    return {
        "members": len(members),
        "disagreement": float(np.mean(pairs)) if pairs else 0.0,
        "mean": float(np.mean([(own == right).mean() for own in decided])),
        "vote": float((result.answers.voted(said) == right).mean()),
    }


def readable(result: SearchResult) -> dict[str, Any]:
    """The best prompt of words on validation, and the best of those that are readable: to the
    frozen model their words and template are no more surprising than its median train text.

    Returns:
        `usual`, the train texts' median perplexity; `best` and `readable`, each with its `trial`,
        `text`, `perplexity`, its score on `validation`, and its `score` on the test texts, the
        latter None where no prompt is readable; and how many `prompts` and `readable_prompts`.
    """
    config = SearchConfig.model_validate(result.record.config)
    splits = config.splits(result.record.seed)
    scorer = load_scorer(model_of(result.record), config.task, config.space.longest_prompt())
    texts = [ids_of(as_text(text), scorer.model.tokenizer) for text in splits.train.texts]
    usual = float(text_surprise([text for text in texts if len(text) > 1], scorer).median().exp())
    expected = np.array(splits.test.labels)

    def perplexity(prompt: Prompt) -> float:
        own = scorer.reworded(prompt.wording or scorer.wording)
        behind = own.tokenize(splits.train.texts[:_BEHIND])
        return float(surprise([prompt.sides], own, behind).exp())

    def told(record: PromptRecord, prompt: Prompt) -> dict[str, Any]:
        own = scorer.reworded(prompt.wording or scorer.wording)
        said = own.score_texts([prompt], splits.test.texts)[0].numpy()
        return {
            "trial": record.number,
            "text": prompt.text,
            "perplexity": perplexity(prompt),
            "validation": record.score,
            "score": float((result.answers.decided(said) == expected).mean()),
        }

    known = [(record, Prompt.from_bytes(record.content)) for record in result.prompts()]
    words = [(record, prompt) for record, prompt in known if prompt.kind == "hard"]
    fitting = [each for each in words if perplexity(each[1]) <= usual]
    return {
        "usual": usual,
        "best": told(*words[0]),
        "readable": told(*fitting[0]) if fitting else None,
        "prompts": len(words),
        "readable_prompts": len(fitting),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument(
        "--elsewhere", dest="abroad", action=argparse.BooleanOptionalAction, default=True
    )
    parser.add_argument("--space", default="quick")
    parser.add_argument("--together", type=int, default=4)
    parser.add_argument("--position", choices=["suffix", "end"])
    print(json.dumps(run(**vars(parser.parse_args()))))

"""Few texts of a new domain: a soft prompt that starts from another domain's, beside one that
starts from words (SPoT, Vu et al. 2022).

python -m benchmarks.transfer
"""

import json
import statistics
from pathlib import Path
from typing import Any

import torch

from autoprompt.search_spaces import SoftPlan
from autoprompt.workers.answers import answers_of
from autoprompt.workers.data import Splits, load_splits
from autoprompt.workers.data_spec import DataSpec, Sizes
from autoprompt.workers.prompt import Prompt
from autoprompt.workers.scorers import load_scorer
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners import Examples, tune
from benchmarks.setting import BATCH_SIZE, DEMO, LEARNING_RATE, MODEL, TASK, VIRTUAL_TOKENS

#: The domain that prompts are lent from, and those that borrow.
SOURCE, TARGETS = "movies", ("amazon", "tweets")
FEW_TEXTS = 32
SEEDS = (0, 1, 2)


def splits_of(domain: str, train: int, seed: int) -> Splits:
    """`train` texts to learn from and 400 to be judged by, balanced."""
    sizes = Sizes(train=train, validation=400, test=2)
    spec = DataSpec(path=str(DEMO / "data" / f"{domain}.csv"), sizes=sizes)
    return load_splits(spec, answers_of(TASK), Path(), seed)


def trained(scorer: Scorer, splits: Splits, steps: int, seed: int, **start: Any) -> Any:
    """The last rung of one soft trial."""
    earlier = {"lent": start.pop("lent")} if "lent" in start else {}
    examples = Examples(
        scorer.tokenize(splits.train.texts),
        torch.tensor(splits.train.labels),
        scorer.tokenize(splits.validation.texts),
        torch.tensor(splits.validation.labels),
        earlier,
    )
    plan = SoftPlan(
        seed=seed,
        length=VIRTUAL_TOKENS,
        learning_rate=LEARNING_RATE,
        steps=steps,
        batch_size=BATCH_SIZE,
        position="suffix",
        **start,
    )
    return list(tune(plan, scorer, examples, (1.0,)))[-1]


def transfer() -> dict[str, dict[str, float]]:
    """Mean accuracy over seeds, after few steps on few texts."""
    scorer = load_scorer(MODEL, TASK, VIRTUAL_TOKENS)
    lent = trained(scorer, splits_of(SOURCE, 512, 0), 60, 0, init="vocabulary").prompt
    found: dict[str, dict[str, float]] = {}
    for target in TARGETS:
        scores: dict[str, list[float]] = {"warm": [], "cold": [], "untrained": []}
        for seed in SEEDS:
            splits = splits_of(target, FEW_TEXTS, seed)
            start = {"init": "prompt", "init_prompt": "lent", "lent": lent}
            scores["warm"].append(trained(scorer, splits, 10, seed, **start).score)
            scores["cold"].append(trained(scorer, splits, 10, seed, init="vocabulary").score)
            scores["untrained"].append(_score(scorer, lent, splits))
        found[target] = {name: statistics.mean(each) for name, each in scores.items()}
    return found


def _score(scorer: Scorer, prompt: Prompt, splits: Splits) -> float:
    found = scorer.log_probs([prompt], scorer.tokenize(splits.validation.texts))[0].argmax(-1)
    return float((found == torch.tensor(splits.validation.labels)).float().mean())


if __name__ == "__main__":
    print(json.dumps(transfer()))

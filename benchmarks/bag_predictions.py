"""Stand-ins for `benchmarks.rung_predictions` where there is no time to run the model: what linear
classifiers of bags of words predict for 5,000 movie snippets at three rungs. They are no prompts,
but they learn from real texts, and err together as prompts do. The same file in a minute.

    python -m benchmarks.bag_predictions predictions.safetensors [--trials 96] [--seed 0]
"""

import argparse
import json

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.feature_extraction.text import TfidfVectorizer

from autoprompt.workers.answers import answers_of
from autoprompt.workers.data import load_splits
from autoprompt.workers.data_spec import DataSpec, Sizes
from autoprompt.workers.vote import Floats
from benchmarks.rung_predictions import VALIDATION_TEXTS
from benchmarks.setting import DEMO, SEED, TASK

TRAIN_TEXTS, BATCH = 4000, 16
RUNGS = (250, 500, 1000)


def record(file: str, trials: int, seed: int) -> None:
    """Train logistic regressions that differ in their learning rates, the words they see, the order
    of their texts and where they start."""
    sizes = Sizes(train=TRAIN_TEXTS, validation=VALIDATION_TEXTS, test=100)
    data = DataSpec(path=str(DEMO / "data" / "movies.csv"), sizes=sizes)
    splits = load_splits(data, answers_of(TASK), DEMO, SEED)
    bags = TfidfVectorizer(ngram_range=(1, 2), min_df=2)
    train = bags.fit_transform([str(text) for text in splits.train.texts]).tocsr()
    validation = bags.transform([str(text) for text in splits.validation.texts]).tocsr()
    labels = np.array(splits.train.labels)
    rng = np.random.default_rng(seed)
    predictions = np.stack([_trial(train, labels, validation, rng) for _ in range(trials)])
    tensors = {
        "log_probs": torch.from_numpy(predictions),
        "labels": torch.tensor(splits.validation.labels),
    }
    save_file(tensors, file, {"steps": json.dumps(RUNGS)})


def _trial(train, labels: Floats, validation, rng: np.random.Generator) -> Floats:  # type: ignore[no-untyped-def]
    """[R, B, 2] log-probabilities of the validation texts at the rungs."""
    rate = 10 ** rng.uniform(0, 2)
    seen = rng.random(train.shape[1]) < rng.uniform(0.3, 1)
    weights, bias = rng.normal(0, 0.1, train.shape[1]) * seen, 0.0
    steps = RUNGS[-1]
    epochs = -(-steps * BATCH // len(labels))
    order = np.concatenate([rng.permutation(len(labels)) for _ in range(epochs)])
    rungs = []
    for step in range(1, steps + 1):
        batch = order[(step - 1) * BATCH : step * BATCH]
        errors = 1 / (1 + np.exp(-(train[batch] @ weights + bias))) - labels[batch]
        now = rate * (1 - step / (steps + 1))
        weights -= now * (train[batch].T @ errors) / BATCH * seen
        bias -= 0.1 * now * errors.mean()
        if step in RUNGS:
            logits = validation @ weights + bias
            rungs.append(-np.logaddexp(0, np.stack([logits, -logits], axis=1)))
    return np.stack(rungs).astype(np.float32)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("--trials", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0, help="of the learners")
    given = parser.parse_args()
    record(given.file, given.trials, given.seed)

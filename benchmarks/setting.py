"""What every benchmark shares: the demo's model, its movie snippets, and one soft prompt's plan."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from autoprompt.config import SearchConfig
from autoprompt.workers.answers import answers_of
from autoprompt.workers.data import Splits, load_splits
from autoprompt.workers.data_spec import DataSpec, Sizes
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.task import TaskSpec

if TYPE_CHECKING:
    from autoprompt.workers.scoring import Scorer
    from autoprompt.workers.tuners import Examples

DEMO = Path(__file__).parent.parent / "examples" / "demo"
MODEL = ModelSpec(path=str(DEMO / "model" / "SmolLM2-135M-Instruct.Q4_1.gguf"))
TASK = TaskSpec(
    template="Review: {text}\nSentiment:",
    label_words={"negative": ("negative",), "positive": ("positive",)},
)

#: What is read beside movie snippets, and never learnt from.
ELSEWHERE = ("amazon", "tweets")

#: The plan of every soft trial timed here, ours and PEFT's.
VIRTUAL_TOKENS = 8
STEPS = 60
BATCH_SIZE = 16
LEARNING_RATE = 0.03
SEED = 0


@dataclass(frozen=True)
class Timed:
    """One run: seconds of training and of evaluation, and what came out."""

    train_seconds: float
    evaluate_seconds: float
    accuracy: float

    @property
    def seconds(self) -> float:
        return self.train_seconds + self.evaluate_seconds


def movie_splits(seed: int = SEED, validation: int = 400, test: int = 1000) -> Splits:
    """512 snippets to train on and others to evaluate, balanced, the same for everybody."""
    return load_splits(
        DataSpec(
            path=str(DEMO / "data" / "movies.csv"),
            sizes=Sizes(train=512, validation=validation, test=test),
        ),
        answers_of(TASK),
        Path(),
        seed,
    )


def search_config(
    name: str,
    sizes: dict[str, int],
    space: Any,
    search: dict[str, Any],
    file: str | Path = "movies",
    task: TaskSpec = TASK,
) -> SearchConfig:
    """A search of the demo's model over one of its files, or another."""
    path = file if isinstance(file, Path) else DEMO / "data" / f"{file}.csv"
    return SearchConfig.model_validate(
        {
            "name": name,
            "model": MODEL.model_dump(),
            "data": {"path": str(path), "sizes": sizes},
            "task": task.model_dump(),
            "space": space,
            "search": search,
        }
    )


def elsewhere(name: str, folder: str) -> str:
    """The path of a file with 1,000 texts of one of `ELSEWHERE`, the same for everybody."""
    texts = pd.read_csv(DEMO / "data" / f"{name}.csv")
    path = Path(folder) / f"{name}.csv"
    texts.sample(1000, random_state=SEED).to_csv(path, index=False)
    return str(path)


def movie_examples(scorer: "Scorer") -> "Examples":
    """The movie snippets that every benchmark trains on and is judged by."""
    from autoprompt.workers.tuners import Examples

    splits = movie_splits()
    return Examples(
        scorer.tokenize(splits.train.texts),
        torch.tensor(splits.train.labels),
        scorer.tokenize(splits.validation.texts),
        torch.tensor(splits.validation.labels),
    )

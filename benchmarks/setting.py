"""What every benchmark shares: the demo's model, its movie snippets, and one soft prompt's plan."""

from dataclasses import dataclass
from pathlib import Path

from autoprompt.workers.data import DataSpec, Sizes, Splits, load_splits
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.task import TaskSpec

DEMO = Path(__file__).parent.parent / "examples" / "demo"
MODEL = ModelSpec(path=str(DEMO / "model" / "SmolLM2-135M-Instruct.Q4_1.gguf"))
TASK = TaskSpec(
    template="Review: {text}\nSentiment:",
    label_words={"negative": ("negative",), "positive": ("positive",)},
)

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
        tuple(TASK.label_words),
        Path(),
        seed,
    )

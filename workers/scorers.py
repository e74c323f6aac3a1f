"""Scorers by the kind of answers that a task asks for."""

from autoprompt.workers.continued_scoring import ContinuedScorer
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.known_model import load_known_model
from autoprompt.workers.model_files import ModelSpec
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.task import Task, TaskSpec, build_task
from autoprompt.workers.text_cache import CacheSpec, TextCache


def scorer_of(
    model: FrozenModel, task: Task, longest_prompt: int, cache: TextCache | None = None
) -> Scorer:
    """The scorer of a task on a model; see `Scorer`."""
    kind = ContinuedScorer if task.readout.continued else Scorer
    return kind(model, task, longest_prompt, cache)


def load_scorer(
    model: ModelSpec, task: TaskSpec, longest_prompt: int, cache: CacheSpec | None = None
) -> Scorer:
    """Load the model, and seat the task on it.

    Args:
        cache: how much to keep, and in which files to share it; without one, in memory alone.

    Raises:
        ModelError: it cannot be found or is no language model.
    """
    frozen = load_known_model(model)
    texts = TextCache(frozen) if cache is None else cache.open(frozen)
    seated = build_task(task, frozen.tokenizer, frozen.family)
    return scorer_of(frozen, seated, longest_prompt, texts)

"""What every baseline must do: learn from labelled texts, and answer with what it has learnt."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from autoprompt.workers.baselines.hidden_states import HiddenStates
from autoprompt.workers.rows import Text
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.vote import Floats

#: An answer is never less likely than this, so that no text's loss is infinite.
_FLOOR = 1e-6


@dataclass(frozen=True)
class Resources:
    """What baselines have to work with.

    Attributes:
        scorer: the frozen model and the task, in the task's own wording.
        states: what the model makes of texts, each computed once.
        seed: of what a baseline draws.
    """

    scorer: Scorer
    states: HiddenStates
    seed: int = 0

    @classmethod
    def of(cls, scorer: Scorer, seed: int = 0) -> "Resources":
        """With nothing kept yet."""
        return cls(scorer, HiddenStates(scorer), seed)

    @property
    def size(self) -> int:
        """A, how many answers there are."""
        return self.scorer.task.readout.size


@dataclass(frozen=True)
class Learnt:
    """What a baseline has learnt.

    Attributes:
        content: as safetensors, or a prompt's bytes.
        settings: what was chosen, as plain values; nothing of the texts.
        beside: bytes that must be shipped with it, the frozen model's aside.
    """

    content: bytes
    settings: dict[str, Any] = field(default_factory=dict)
    beside: int = 0


class Baseline(ABC):
    """One kind. What it makes of texts depends on them, the seed and the model alone, so that it
    may be fitted to any part of the labelled texts, and asked about any other.

    Attributes:
        reads_states: whether it works on the model's hidden states.
    """

    reads_states: ClassVar[bool] = False

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    @abstractmethod
    def fit(self, texts: Sequence[Text], labels: Sequence[int]) -> Learnt:
        """Learn from B labelled texts.

        Args:
            labels: [B], the answers' places.

        Raises:
            BadInputError: it cannot be done with these texts, or this model.
        """

    @abstractmethod
    def log_probs(self, content: bytes, texts: Sequence[Text]) -> Floats:
        """The answers' log-probabilities, [B, A] float32, every one of them finite."""


def smoothed(log_probs: Floats) -> Floats:
    """Log-probabilities [B, A] with a little of every answer."""
    mixed = np.logaddexp(np.nan_to_num(log_probs, neginf=-1e9), np.log(_FLOOR))
    total = np.logaddexp.reduce(mixed, axis=-1, keepdims=True)
    return (mixed - total).astype(np.float32)


def some(count: int, most: int, seed: int) -> np.ndarray:
    """The places of at most so many of `count` texts, drawn with a seed, in their order."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).permutation(count)[:most])

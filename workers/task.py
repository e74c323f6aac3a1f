"""The task: a template, a word for each label, and the metric that trials are judged by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from search_spaces.documents import Document
from search_spaces.errors import ConfigError

Metric = Literal["accuracy", "macro_f1"]


class TaskSpec(Document):
    """How a text becomes a question, and how the model's next word becomes a label."""

    #: Holds {text} once. A suffix prompt is laid right after it, a prefix prompt before all.
    template: str = "{text}"
    #: Label in the data -> the word that stands for it (the verbalizer of PET, LM-BFF).
    label_words: dict[str, str]
    metric: Metric = "accuracy"

    @field_validator("template")
    @classmethod
    def _one_slot(cls, value: str) -> str:
        if value.count("{text}") != 1:
            raise ValueError("the template must hold {text} exactly once")
        return value

    @field_validator("label_words", mode="before")
    @classmethod
    def _labels_as_text(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("expected a mapping of each label to its word")
        if len(value) < 2:
            raise ValueError("needs at least two labels, each with its word")
        empty = [label for label, word in value.items() if not str(word).strip()]
        if empty:
            raise ValueError(f"label {empty[0]!r} has an empty word")
        return {str(label): str(word) for label, word in value.items()}


@dataclass(frozen=True)
class Task:
    """A task spec seen through one model's tokenizer.

    Attributes:
        head: what stands before the text.
        tail_ids: the tokens of what stands after the text and the suffix prompt.
        labels: the L labels, in the order of every [..., L] array.
        label_token_ids: the first token of each label's word, where it follows the template.
    """

    head: str
    tail: str
    tail_ids: tuple[int, ...]
    labels: tuple[str, ...]
    label_token_ids: tuple[int, ...]
    metric: Metric

    def label_index(self, label: str) -> int:
        return self.labels.index(label)


def build_task(spec: TaskSpec, tokenizer: Any) -> Task:
    """Tokenize the template's tail and the label words as they will stand in context.

    Raises:
        ConfigError: two labels' words begin with the same token, or a word cannot be told apart
            from the template's end.
    """
    head, tail = spec.template.split("{text}")
    # Whatever stands before the label word: the tail, or the end of some text.
    context = tail or "."
    joint = "" if context[-1].isspace() else " "
    context_ids = tokenizer(context, add_special_tokens=False).input_ids
    firsts: dict[int, str] = {}
    for label, word in spec.label_words.items():
        word_ids = tokenizer(context + joint + word.strip(), add_special_tokens=False).input_ids
        if word_ids[: len(context_ids)] != context_ids or len(word_ids) == len(context_ids):
            raise ConfigError(
                f"task.label_words.{label}: {word!r} merges with the end of the template "
                f"{tail!r} when tokenized; end the template with a colon or another word"
            )
        first = word_ids[len(context_ids)]
        if first in firsts:
            other = firsts[first]
            raise ConfigError(
                f"task.label_words: {spec.label_words[other]!r} ({other}) and {word!r} ({label}) "
                f"begin with the same token {tokenizer.decode([first])!r}; choose other words"
            )
        firsts[first] = label
    return Task(
        head=head,
        tail=tail,
        tail_ids=tuple(context_ids) if tail else (),
        labels=tuple(spec.label_words),
        label_token_ids=tuple(firsts),
        metric=spec.metric,
    )


def score(metric: Metric, expected: Sequence[int], predicted: Sequence[int]) -> float:
    """How well predicted label indices [B] match the expected ones [B]: 0 to 1, 1 is best."""
    # Imported here: it takes a second, and whoever only reads a search need not wait for it.
    from sklearn.metrics import accuracy_score, f1_score

    if metric == "accuracy":
        return float(accuracy_score(expected, predicted))
    return float(f1_score(expected, predicted, average="macro", zero_division=0))


def predictions(log_probs: NDArray[Any]) -> NDArray[np.intp]:
    """The most probable label of each text: [..., B, L] to [..., B]."""
    return np.argmax(log_probs, axis=-1)

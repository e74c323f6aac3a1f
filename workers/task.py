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
LabelScoring = Literal["first_token", "sum", "mean"]


class TaskSpec(Document):
    """How a text becomes a question, and how the model's next words become a label."""

    #: Holds {text} once. A suffix prompt is laid right after it, a prefix prompt before all.
    template: str = "{text}"
    #: Label in the data -> the words that stand for it (the verbalizer of PET, LM-BFF).
    label_words: dict[str, tuple[str, ...]]
    #: What a word of several tokens is judged by: its first token, or the log-probabilities of all
    #: of them, summed or averaged.
    label_scoring: LabelScoring = "first_token"
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
            raise ValueError("expected a mapping of each label to its word, or its words")
        if len(value) < 2:
            raise ValueError("needs at least two labels, each with its word")
        words = {
            str(label): tuple(str(word) for word in given)
            if isinstance(given, (list, tuple))
            else (str(given),)
            for label, given in value.items()
        }
        for label, given in words.items():
            if not given or not all(word.strip() for word in given):
                raise ValueError(f"label {label!r} has an empty word")
        return words


@dataclass(frozen=True)
class Word:
    """A label's word, as the tokens it will stand as after the template."""

    label: int
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Task:
    """A task spec seen through one model's tokenizer.

    Attributes:
        head: what stands before the text.
        tail_ids: the tokens of what stands after the text and the suffix prompt.
        labels: the L labels, in the order of every [..., L] array.
        words: the words of all labels; of one token each where only the first is judged.
        mean: whether a word's log-probabilities are averaged over its tokens.
    """

    head: str
    tail: str
    tail_ids: tuple[int, ...]
    labels: tuple[str, ...]
    words: tuple[Word, ...]
    mean: bool
    metric: Metric

    @property
    def branches(self) -> tuple[tuple[int, ...], ...]:
        """For each word of several tokens, those that the model must read to judge the rest."""
        return tuple(word.ids[:-1] for word in self.words if len(word.ids) > 1)

    @property
    def label_token_ids(self) -> tuple[int, ...]:
        """The first token of each label's first word: a soft prompt may start from them."""
        firsts: dict[int, int] = {}
        for word in self.words:
            firsts.setdefault(word.label, word.ids[0])
        return tuple(firsts[label] for label in range(len(self.labels)))


def build_task(spec: TaskSpec, tokenizer: Any) -> Task:
    """Tokenize the template's tail and the label words as they will stand in context.

    Raises:
        ConfigError: words of two labels cannot be told apart, or a word cannot be told from the
            template's end.
    """
    head, tail = spec.template.split("{text}")
    # Whatever stands before the label word: the tail, or the end of some text.
    context = tail or "."
    joint = "" if context[-1].isspace() else " "
    context_ids = tokenizer(context, add_special_tokens=False).input_ids
    first_only = spec.label_scoring == "first_token"
    seen: dict[tuple[int, ...], tuple[str, str]] = {}
    words = []
    for label, (name, given) in enumerate(spec.label_words.items()):
        for text in given:
            ids = tokenizer(context + joint + text.strip(), add_special_tokens=False).input_ids
            if ids[: len(context_ids)] != context_ids or len(ids) == len(context_ids):
                raise ConfigError(
                    f"task.label_words.{name}: {text!r} merges with the end of the template "
                    f"{tail!r} when tokenized; end the template with a colon or another word"
                )
            own = tuple(ids[len(context_ids) :][: 1 if first_only else None])
            if own not in seen:
                seen[own] = (name, text)
                words.append(Word(label, own))
            other, theirs = seen[own]
            if other != name:
                way_out = ", or set task.label_scoring to mean" if first_only else ""
                raise ConfigError(
                    f"task.label_words: {theirs!r} ({other}) and {text!r} ({name}) begin with the "
                    f"same token {tokenizer.decode([own[0]])!r}; choose other words{way_out}"
                )
    return Task(
        head=head,
        tail=tail,
        tail_ids=tuple(context_ids) if tail else (),
        labels=tuple(spec.label_words),
        words=tuple(words),
        mean=spec.label_scoring == "mean",
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

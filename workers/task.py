"""The task: a template, a word for each label, and the metric that trials are judged by."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationInfo, field_validator, model_validator

from autoprompt.search_spaces.documents import Document
from autoprompt.search_spaces.errors import ConfigError
from autoprompt.workers.metrics import METRICS
from autoprompt.workers.question import SOME_TEXT, Question, build_question, ids_behind
from autoprompt.workers.template import Template

if TYPE_CHECKING:
    from autoprompt.workers.model_config import Family

LabelScoring = Literal["first_token", "sum", "mean"]


class TaskSpec(Document):
    """How a text becomes a question, and how the model's next words become a label."""

    #: What of the template's braces are columns of the data; every name in braces by default.
    columns: tuple[str, ...] | None = None
    #: Holds {text}, or other columns of the data by their names, each once. A suffix prompt is laid
    #: right after the last of them, a prefix prompt before all. For a model that fills masks it
    #: also holds {mask}, where the label's word is asked for.
    template: str = "{text}"
    #: Label in the data -> the words that stand for it (the verbalizer of PET, LM-BFF).
    label_words: dict[str, tuple[str, ...]]
    #: What a word of several tokens is judged by: its first token, or the log-probabilities of all
    #: of them, summed or averaged.
    label_scoring: LabelScoring = "first_token"
    #: What trials are judged by: a name in `METRICS`, or your own as module:function.
    metric: str = "accuracy"

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, value: str) -> str:
        # A user's own is imported when it is needed: whoever only labels texts has no use for it.
        if ":" not in value:
            METRICS[value]
        return value

    @field_validator("template")
    @classmethod
    def _parsed(cls, value: str, info: ValidationInfo) -> str:
        Template.parse(value, info.data.get("columns"))
        return value

    @model_validator(mode="after")
    def _with_columns(self) -> "TaskSpec":
        # Said outright, so that what is stored means the same to every later version.
        object.__setattr__(self, "columns", self.parsed_template.columns)
        return self

    @property
    def parsed_template(self) -> Template:
        """The template, taken apart."""
        return Template.parse(self.template, self.columns)

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
        labels: the L labels, in the order of every [..., L] array.
        words: the words of all labels; of one token each where only the first is judged.
        mean: whether a word's log-probabilities are averaged over its tokens.
    """

    question: Question
    labels: tuple[str, ...]
    words: tuple[Word, ...]
    mean: bool
    metric: str

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


def build_task(spec: TaskSpec, tokenizer: Any, family: "Family" = "causal") -> Task:
    """Tokenize the template's tail and the label words as they will stand in context.

    Raises:
        ConfigError: words of two labels cannot be told apart, a word cannot be told from what
            stands before it, or the template does not suit the model's family.
    """
    question = build_question(spec.parsed_template, tokenizer, family)
    return Task(
        question=question,
        labels=tuple(spec.label_words),
        words=_words(spec, question, family),
        mean=spec.label_scoring == "mean",
        metric=spec.metric,
    )


def _words(spec: TaskSpec, question: Question, family: "Family") -> tuple[Word, ...]:
    """The label words' tokens behind what stands before them.

    Raises:
        ConfigError: as `build_task` says.
    """
    before = question.before
    first_only = spec.label_scoring == "first_token"
    seen: dict[tuple[int, ...], tuple[str, str]] = {}
    words = []
    for label, (name, given) in enumerate(spec.label_words.items()):
        for text in given:
            ids = ids_behind(before, question.joint + text.strip(), question.tokenizer)
            if not ids:
                raise ConfigError(
                    f"task.label_words.{name}: {text!r} merges with the end of the template "
                    f"{before.removeprefix(SOME_TEXT)!r} when tokenized; end the template with a "
                    "colon or another word"
                )
            if family == "masked" and len(ids) > 1:
                raise ConfigError(
                    f"task.label_words.{name}: {text!r} is {len(ids)} tokens to this model, which "
                    "fills a mask with one; choose words of one token"
                )
            own = ids[:1] if first_only else ids
            if own not in seen:
                seen[own] = (name, text)
                words.append(Word(label, own))
            other, theirs = seen[own]
            if other != name:
                way_out = ", or set task.label_scoring to mean" if first_only else ""
                token = question.tokenizer.decode([own[0]])
                raise ConfigError(
                    f"task.label_words: {theirs!r} ({other}) and {text!r} ({name}) begin with the "
                    f"same token {token!r}; choose other words{way_out}"
                )
    return tuple(words)


def predictions(log_probs: NDArray[Any]) -> NDArray[np.intp]:
    """The most probable label of each text: [..., B, L] to [..., B]."""
    return np.argmax(log_probs, axis=-1)

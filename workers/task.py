"""The task: a template, a word for each label, and the metric that trials are judged by."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from autoprompt.search_spaces.errors import ConfigError
from autoprompt.workers.metrics import METRICS
from autoprompt.workers.question import SOME_TEXT, Question, build_question, ids_behind
from autoprompt.workers.wording import Wording

if TYPE_CHECKING:
    from autoprompt.workers.model_config import Family


class TaskSpec(Wording):
    """What a search asks of its texts, and what its trials are judged by."""

    #: What trials are judged by: a name in `METRICS`, or your own as module:function.
    metric: str = "accuracy"

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, value: str) -> str:
        # A user's own is imported when it is needed: whoever only labels texts has no use for it.
        if ":" not in value:
            METRICS[value]
        return value


@dataclass(frozen=True)
class Word:
    """A label's word, as the tokens it will stand as after the template."""

    label: int
    ids: tuple[int, ...]


@dataclass(frozen=True)
class Task:
    """A wording seen through one model's tokenizer.

    Attributes:
        wording: as it is written; None of what no template says by itself.
        labels: the L labels, in the order of every [..., L] array.
        words: the words of all labels; of one token each where only the first is judged.
        mean: whether a word's log-probabilities are averaged over its tokens.
    """

    question: Question
    labels: tuple[str, ...]
    words: tuple[Word, ...]
    mean: bool
    metric: str = "accuracy"
    wording: Wording | None = field(default=None, compare=False, repr=False)

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


def build_task(spec: Wording, tokenizer: Any, family: "Family" = "causal") -> Task:
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
        metric=spec.metric if isinstance(spec, TaskSpec) else "accuracy",
        wording=Wording.of(spec),
    )


def _words(spec: Wording, question: Question, family: "Family") -> tuple[Word, ...]:
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

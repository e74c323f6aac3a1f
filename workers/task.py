"""The task: a template, a word for each label, and the metric that trials are judged by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import field_validator

from autoprompt.search_spaces.documents import Document
from autoprompt.search_spaces.errors import ConfigError
from autoprompt.workers.metrics import METRICS

if TYPE_CHECKING:
    from autoprompt.workers.model_config import Family

LabelScoring = Literal["first_token", "sum", "mean"]


class TaskSpec(Document):
    """How a text becomes a question, and how the model's next words become a label."""

    #: Holds {text} once. A suffix prompt is laid right after it, a prefix prompt before all. For a
    #: model that fills masks it also holds {mask}, where the label's word is asked for.
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
    def _one_slot(cls, value: str) -> str:
        if value.count("{text}") != 1:
            raise ValueError("the template must hold {text} exactly once")
        if value.count("{mask}") > 1:
            raise ValueError("the template may hold {mask} only once")
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
        begin_ids, end_ids: the tokenizer's own special tokens around an input.
        mask: for a masked model, where it answers: counted from the input's start without any
            prompt where it is 0 or more, else from the input's end.
        answer_ids: what a decoder reads behind its start before it answers.
    """

    head: str
    tail: str
    tail_ids: tuple[int, ...]
    labels: tuple[str, ...]
    words: tuple[Word, ...]
    mean: bool
    metric: str
    begin_ids: tuple[int, ...] = ()
    end_ids: tuple[int, ...] = ()
    mask: int | None = None
    answer_ids: tuple[int, ...] = ()

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

    def read(self, tokenizer: Any, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Each text behind the template's head, as tokens."""
        if not len(texts):
            return []
        joined = [self.head + text for text in texts]
        encoded = tokenizer(joined, add_special_tokens=False).input_ids
        return [(*self.begin_ids, *ids) for ids in encoded]


#: Stands for a text where something is tokenized as it will be behind one.
_SOME_TEXT = "good"


def build_task(spec: TaskSpec, tokenizer: Any, family: "Family" = "causal") -> Task:
    """Tokenize the template's tail and the label words as they will stand in context.

    Raises:
        ConfigError: words of two labels cannot be told apart, a word cannot be told from what
            stands before it, or the template does not suit the model's family.
    """
    mask = _mask_token(spec.template, tokenizer, family)
    head, tail = spec.template.replace("{mask}", mask).split("{text}")
    tail_ids = _behind(_SOME_TEXT, tail, tokenizer) or _ids(tail, tokenizer)
    begin_ids, end_ids = _special_ids(tokenizer)
    if family == "causal":
        end_ids = ()
    place: int | None = None
    answer_ids: tuple[int, ...] = ()
    if family == "masked":
        head_ids = (*begin_ids, *_ids(head, tokenizer))
        behind = (*tail_ids, *end_ids)
        token = tokenizer.mask_token_id
        place = head_ids.index(token) if mask in head else behind.index(token) - len(behind)
        before = (head if mask in head else _SOME_TEXT + tail).split(mask)[0]
        # The space before a mask belongs to the word that will stand there.
        joint = " " if before.endswith(" ") else ""
        before = before.removesuffix(" ")
    elif family == "seq2seq":
        before, joint = mask, " " if mask else ""
        answer_ids = (*begin_ids, *_ids(mask, tokenizer))
    else:
        before = _SOME_TEXT + tail
        joint = "" if before[-1].isspace() else " "
    return Task(
        head=head,
        tail=tail,
        tail_ids=tail_ids,
        labels=tuple(spec.label_words),
        words=_words(spec, tokenizer, before, joint, family),
        mean=spec.label_scoring == "mean",
        metric=spec.metric,
        begin_ids=begin_ids,
        end_ids=end_ids,
        mask=place,
        answer_ids=answer_ids,
    )


def _mask_token(template: str, tokenizer: Any, family: "Family") -> str:
    """What {mask} becomes; empty where the template needs none.

    Raises:
        ConfigError: a mask where the model fills none, or none where it needs one.
    """
    asked = "{mask}" in template
    if family == "masked":
        if not asked:
            raise ConfigError(
                "task.template: this model fills masks: say where the label's word is asked for, "
                "as in '{text} It was {mask}.'"
            )
        return str(tokenizer.mask_token)
    if not asked:
        return ""
    sentinel = "<extra_id_0>"  # T5 was trained to answer behind the same token (Raffel et al. 2020)
    if family == "seq2seq" and len(_ids(sentinel, tokenizer)) == 1:
        return sentinel
    raise ConfigError(
        "task.template: this model fills no masks: leave {mask} out, and end the template where "
        "the label's word should follow"
    )


def _ids(text: str, tokenizer: Any) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False).input_ids) if text else ()


def _behind(before: str, text: str, tokenizer: Any) -> tuple[int, ...] | None:
    """The tokens of a text where it stands behind another; None where the two merge."""
    known, joined = _ids(before, tokenizer), _ids(before + text, tokenizer)
    return joined[len(known) :] if joined[: len(known)] == known else None


def _special_ids(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the tokenizer puts before and after any input."""
    bare, whole = _ids(_SOME_TEXT, tokenizer), tuple(tokenizer(_SOME_TEXT).input_ids)
    starts = range(len(whole) - len(bare) + 1)
    start = next(each for each in starts if whole[each : each + len(bare)] == bare)
    return whole[:start], whole[start + len(bare) :]


def _words(
    spec: TaskSpec, tokenizer: Any, before: str, joint: str, family: "Family"
) -> tuple[Word, ...]:
    """The label words' tokens behind what stands before them.

    Raises:
        ConfigError: as `build_task` says.
    """
    first_only = spec.label_scoring == "first_token"
    seen: dict[tuple[int, ...], tuple[str, str]] = {}
    words = []
    for label, (name, given) in enumerate(spec.label_words.items()):
        for text in given:
            ids = _behind(before, joint + text.strip(), tokenizer)
            if not ids:
                raise ConfigError(
                    f"task.label_words.{name}: {text!r} merges with the end of the template "
                    f"{before.removeprefix(_SOME_TEXT)!r} when tokenized; end the template with a "
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
                raise ConfigError(
                    f"task.label_words: {theirs!r} ({other}) and {text!r} ({name}) begin with the "
                    f"same token {tokenizer.decode([own[0]])!r}; choose other words{way_out}"
                )
    return tuple(words)


def predictions(log_probs: NDArray[Any]) -> NDArray[np.intp]:
    """The most probable label of each text: [..., B, L] to [..., B]."""
    return np.argmax(log_probs, axis=-1)

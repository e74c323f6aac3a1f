"""The question: a template seen through one model's tokenizer, which turns rows into tokens."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from autoprompt.search_spaces.errors import ConfigError
from autoprompt.workers.rows import Text
from autoprompt.workers.template import MASK, Template

if TYPE_CHECKING:
    from autoprompt.workers.model_config import Family

#: Stands for a text where something is tokenized as it will be behind one.
SOME_TEXT = "good"

#: A head of fewer tokens is read with every text: sharing it would gain nothing.
_LONG_HEAD = 16


@dataclass(frozen=True)
class Question:
    """How a row becomes the input of one model.

    Attributes:
        template: with the model's own mask token in it.
        tail_ids: the tokens of what stands after the last column and a suffix prompt.
        before: what stands before the answer, as text.
        joint: what parts the answer from it: a space, or nothing.
        begin_ids, end_ids: the tokenizer's own special tokens around an input.
        mask: for a masked model, where it answers: counted from the input's start without any
            prompt where it is 0 or more, else from the input's end.
        answer_ids: what a decoder reads behind its start before it answers.
        head_ids: what an input begins with whatever the text is, where that is long.
        token: what stands in the template for {mask}; empty for nothing.
    """

    template: Template
    tokenizer: Any = field(compare=False, repr=False)
    tail_ids: tuple[int, ...]
    before: str
    joint: str
    begin_ids: tuple[int, ...] = ()
    end_ids: tuple[int, ...] = ()
    mask: int | None = None
    answer_ids: tuple[int, ...] = ()
    head_ids: tuple[int, ...] = ()
    token: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """What it reads of a row."""
        return self.template.columns

    def read(self, texts: Sequence[Text]) -> list[tuple[int, ...]]:
        """Each text in the template, up to the end of the last column, as tokens.

        Raises:
            BadInputError: a text has not every column.
        """
        if not len(texts):
            return []
        filled = [self.template.filled(text) for text in texts]
        encoded = self.tokenizer(filled, add_special_tokens=False).input_ids
        return [(*self.begin_ids, *ids) for ids in encoded]

    def shared_head(self, texts: Sequence[tuple[int, ...]]) -> int:
        """How many tokens at their beginning all of these texts, as `read` gives them, have in
        common with any other: those of a long head, or none."""
        size = len(self.head_ids)
        return size if size and all(text[:size] == self.head_ids for text in texts) else 0

    def everywhere(self, cell: str) -> Text:
        """A text with the same in every column."""
        columns = self.columns
        return cell if len(columns) == 1 else dict.fromkeys(columns, cell)


def build_question(template: Template, tokenizer: Any, family: "Family" = "causal") -> Question:
    """Tokenize the template's tail as it will stand, and tell where the answer is asked for.

    Raises:
        ConfigError: the template does not suit the model's family.
    """
    token = _mask_token(template, tokenizer, family)
    template = template.with_mask(token)
    head, tail = template.head, template.tail
    tail_ids = ids_behind(SOME_TEXT, tail, tokenizer) or ids_of(tail, tokenizer)
    begin_ids, end_ids = _special_ids(tokenizer)
    if family == "causal":
        end_ids = ()
    place: int | None = None
    answer_ids: tuple[int, ...] = ()
    if family == "masked":
        head_ids = (*begin_ids, *ids_of(head, tokenizer))
        behind = (*tail_ids, *end_ids)
        mask = tokenizer.mask_token_id
        place = head_ids.index(mask) if token in head else behind.index(mask) - len(behind)
        before = (head if token in head else SOME_TEXT + tail).split(token)[0]
        # The space before a mask belongs to the word that will stand there.
        joint = " " if before.endswith(" ") else ""
        before = before.removesuffix(" ")
    elif family == "seq2seq":
        before, joint = token, " " if token else ""
        answer_ids = (*begin_ids, *ids_of(token, tokenizer))
    else:
        before = SOME_TEXT + tail
        joint = "" if before[-1].isspace() else " "
    return Question(
        template=template,
        tokenizer=tokenizer,
        tail_ids=tail_ids,
        before=before,
        joint=joint,
        begin_ids=begin_ids,
        end_ids=end_ids,
        mask=place,
        answer_ids=answer_ids,
        token=token,
        head_ids=(*begin_ids, *_head_ids(head, tokenizer)) if len(head) > _LONG_HEAD else (),
    )


def _head_ids(head: str, tokenizer: Any) -> tuple[int, ...]:
    """The tokens that a text begins with behind a head, whatever it is; none where they are few.

    The head's last word, or the white space that it ends in, may merge with a text's first.
    """
    words = head.rstrip()
    if words == head:
        words = re.sub(r"\S+$", "", head).rstrip()
    shared = ids_of(words, tokenizer)
    whole = ids_of(head + SOME_TEXT, tokenizer)
    return shared if len(shared) >= _LONG_HEAD and whole[: len(shared)] == shared else ()


def _mask_token(template: Template, tokenizer: Any, family: "Family") -> str:
    """What {mask} becomes; empty where the template needs none.

    Raises:
        ConfigError: a mask where the model fills none, or none where it needs one.
    """
    asked = MASK in template.head or MASK in template.tail
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
    if family == "seq2seq" and len(ids_of(sentinel, tokenizer)) == 1:
        return sentinel
    raise ConfigError(
        "task.template: this model fills no masks: leave {mask} out, and end the template where "
        "the label's word should follow"
    )


def ids_of(text: str, tokenizer: Any) -> tuple[int, ...]:
    """The tokens of a text by itself."""
    return tuple(tokenizer(text, add_special_tokens=False).input_ids) if text else ()


def ids_behind(before: str, text: str, tokenizer: Any) -> tuple[int, ...] | None:
    """The tokens of a text where it stands behind another; None where the two merge."""
    known, joined = ids_of(before, tokenizer), ids_of(before + text, tokenizer)
    return joined[len(known) :] if joined[: len(known)] == known else None


def _special_ids(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the tokenizer puts before and after any input."""
    bare, whole = ids_of(SOME_TEXT, tokenizer), tuple(tokenizer(SOME_TEXT).input_ids)
    starts = range(len(whole) - len(bare) + 1)
    start = next(place for place in starts if whole[place : place + len(bare)] == bare)
    return whole[:start], whole[start + len(bare) :]

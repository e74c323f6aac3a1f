"""Which tokens a hard prompt may hold, so that it can be written down and read again."""

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from autoprompt.search_spaces.pieces import Position
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.task import Task
from autoprompt.workers.text_states import TokenIds

#: What may stand before a suffix prompt: the ends of three different texts.
_TEXT_ENDS = (".", "good", "1")


@functools.lru_cache(maxsize=2)
def readable_tokens(model: FrozenModel) -> Tensor:
    """[V] bool: tokens that a person can read and that are text on their own."""
    tokenizer: Any = model.tokenizer
    size = min(len(model.embeddings), len(tokenizer))
    words = tokenizer.batch_decode([[token] for token in range(size)])
    special = set(tokenizer.all_special_ids)
    readable = [
        token not in special and bool(word.strip()) and word.isprintable() and "\ufffd" not in word
        for token, word in enumerate(words)
    ]
    return torch.tensor(readable + [False] * (len(model.embeddings) - size))


def reads_back(
    prompts: Sequence[TokenIds], position: Position, task: Task, model: FrozenModel
) -> list[bool]:
    """Whether each prompt, written as text where it will stand, is tokenized as itself again.

    Args:
        position: on one side of the text, or in the decoder.
    """
    question = task.question
    around: list[tuple[TokenIds, TokenIds]]
    if position == "prefix":
        around = [((), tuple(_tokens([question.template.head], model)[0]))]
    elif position == "decoder":
        around = [(question.answer_ids, ())]
    else:
        between = question.tail_ids if position == "end" else ()
        after = question.tail_ids if position == "suffix" else ()
        around = [((*end, *between), after) for end in _tokens(_TEXT_ENDS, model)]
        if model.family == "causal" and not after:
            # The answer follows, and must stay the words that are asked for.
            around += [(around[0][0], ids) for ids in task.readout.spoken]
    kept = [True] * len(prompts)
    for before, after in around:
        # Surroundings that do not read back by themselves would blame every prompt.
        before = before if _again([before], model) == [before] else ()
        after = after if _again([(*before, *after)], model) == [(*before, *after)] else ()
        whole = [(*before, *prompt, *after) for prompt in prompts]
        for index, (ids, expected) in enumerate(zip(_again(whole, model), whole, strict=True)):
            kept[index] &= ids == expected
    return kept


def _again(rows: Sequence[TokenIds], model: FrozenModel) -> list[TokenIds]:
    """Tokens written as text, by the tokenizer that knows how it joins words, and read again."""
    if not rows:
        return []
    written = model.tokenizer.batch_decode([list(ids) for ids in rows])
    return [tuple(ids) for ids in _tokens(written, model)]


def _tokens(texts: Sequence[str], model: FrozenModel) -> list[list[int]]:
    if not texts:
        return []
    ids: list[list[int]] = model.tokenizer(list(texts), add_special_tokens=False).input_ids
    return ids

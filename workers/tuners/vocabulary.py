"""Which tokens a hard prompt may hold, so that it can be written down and read again."""

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from search_spaces.schema import Position
from workers.frozen_model import FrozenModel
from workers.task import Task
from workers.text_cache import TokenIds

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
    """Whether each prompt, written as text where it will stand, is tokenized as itself again."""

    def tokenize(texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        found: list[list[int]] = model.tokenizer(texts, add_special_tokens=False).input_ids
        return found

    written = model.tokenizer.batch_decode([list(ids) for ids in prompts])
    if position == "prefix":
        head = tokenize([task.head])[0] if task.head else []
        found = tokenize([text + task.head for text in written])
        return [ids == [*prompt, *head] for ids, prompt in zip(found, prompts, strict=True)]
    kept = [True] * len(prompts)
    for end in _TEXT_ENDS:
        before = tokenize([end])[0]
        for index, ids in enumerate(tokenize([end + text + task.tail for text in written])):
            kept[index] &= ids == [*before, *prompts[index], *task.tail_ids]
    return kept

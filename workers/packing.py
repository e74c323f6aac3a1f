"""Several prompts behind the same text in one pass: a block-diagonal mask keeps them apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from workers.frozen_model import FrozenModel
from workers.task import Task


@dataclass(frozen=True)
class Blocks:
    """Prompts laid side by side behind a text.

    Attributes:
        embeds: [Q, H].
        visible: [Q, Q] bool, which query token sees which.
        offset: [Q], each token's place behind the text.
        keep: the places whose logits are read, prompt by prompt.
    """

    embeds: Tensor
    visible: Tensor
    offset: Tensor
    keep: Tensor


def side_by_side(prompts: Sequence[Tensor], task: Task, model: FrozenModel) -> Blocks:
    """Each prompt with the tail as a block; behind it, words of several tokens branch off.

    Args:
        prompts: N tensors of [P, H], P their own.
    """
    tail = model.embed(task.tail_ids)
    branches = [model.embed(branch) for branch in task.branches]
    rows: list[Tensor] = []
    block: list[int] = []
    branch: list[int] = []
    offset: list[int] = []
    keep: list[int] = []
    for n, prompt in enumerate(prompts):
        start = len(block)
        length = len(prompt) + len(tail)
        rows += [prompt.to(tail), tail, *branches]
        block += [n] * (length + sum(map(len, branches)))
        branch += [-1] * length
        offset += range(length)
        for b, tokens in enumerate(branches):
            branch += [b] * len(tokens)
            offset += range(length, length + len(tokens))
        # The template's end, and every token of the branches.
        keep += range(start + length - 1, len(block))
    layout = torch.tensor([block, branch, offset], device=model.device)
    return Blocks(
        embeds=torch.cat(rows),
        visible=_sees(*layout),
        offset=layout[2],
        keep=torch.tensor(keep, device=model.device),
    )


def _sees(block: Tensor, branch: Tensor, offset: Tensor) -> Tensor:
    """[Q, Q] bool. A token sees those before it in its own block, but of the branches its own."""
    same = block[:, None] == block
    before = offset[:, None] >= offset
    common = (branch == -1) | (branch[:, None] == branch)
    return same & before & common

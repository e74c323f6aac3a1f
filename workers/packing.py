"""Several prompts behind the same text in one pass: a block-diagonal mask keeps them apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.prompt import Laid
from autoprompt.workers.task import Task


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


def side_by_side(prompts: Sequence[Laid], task: Task, model: FrozenModel, tail: bool) -> Blocks:
    """Each prompt as a block; behind it, words of several tokens branch off.

    Args:
        prompts: N of them, without a front.
        tail: whether a block holds the template's tail too; else the text has brought it along.
    """
    between = model.embed(task.question.tail_ids if tail else ())
    branches = [model.embed(branch) for branch in task.readout.branches]
    rows: list[Tensor] = []
    block: list[int] = []
    branch: list[int] = []
    offset: list[int] = []
    keep: list[int] = []
    for n, prompt in enumerate(prompts):
        start = len(block)
        length = len(prompt.back) + len(between) + len(prompt.end)
        rows += [prompt.back.to(between), between, prompt.end.to(between), *branches]
        block += [n] * (length + sum(map(len, branches)))
        branch += [-1] * length
        offset += range(length)
        for b, tokens in enumerate(branches):
            branch += [b] * len(tokens)
            offset += range(length, length + len(tokens))
        # Where the answer follows, and every token of the branches.
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

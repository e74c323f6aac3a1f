"""Several prompts behind the same text in one pass, none of which sees another."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.past import Segment
from autoprompt.workers.prompt import Laid
from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.token_trie import TokenTrie


@dataclass(frozen=True)
class Blocks:
    """Prompts laid side by side behind a text whose last token stands right before position 0.

    Attributes:
        embeds: [B or 1, Q, H], of all query tokens; 1 where they are the same behind every text.
        offset: [Q], their positions.
        again: those of them that ask the last token of what is kept of a text once more.
        keep: the query tokens whose logits are read, prompt by prompt in the order of `order`.
        order: [N], where each prompt stands among those of `keep`.
        segments: prompts of like shape.
    """

    embeds: Tensor
    offset: Tensor
    again: Tensor
    keep: Tensor
    order: Tensor
    segments: list[Segment]


def side_by_side(
    prompts: Sequence[Laid],
    tail_ids: TokenIds,
    trie: TokenTrie,
    branches: Tensor,
    model: FrozenModel,
    tail: int,
) -> Blocks:
    """Each prompt as a block; behind it, the trie of what the answers have read.

    Args:
        prompts: N of them, without a front.
        tail_ids: the template's, behind the text.
        branches: [B or 1, M, H], the trie's tokens.
        tail: so many tokens of the template are kept behind each text.
    """
    device = model.device
    between = model.embed(tail_ids)
    alike: dict[tuple[int, int], list[int]] = {}
    for number, prompt in enumerate(prompts):
        if len(prompt.end_rows):
            asked, hidden = 1, 1
        else:
            hidden = 0 if len(prompt.end) else tail
            asked = prompt.tokens + (0 if len(prompt.end) else len(tail_ids))
        alike.setdefault((asked, hidden), []).append(number)
    rows: list[Tensor] = []
    offset: list[int] = []
    again: list[int] = []
    keep: list[int] = []
    segments: list[Segment] = []
    for (asked, hidden), numbers in alike.items():
        start = len(offset)
        steps = [*range(asked), *(asked + depth for depth in trie.depths)]
        for number in numbers:
            prompt = prompts[number]
            first = len(offset)
            if len(prompt.end_rows):
                again.append(first)
                parts = [between.new_zeros(1, between.shape[1])]
                # Where its last token stood, behind the rows.
                origin = len(tail_ids) - 1 + len(prompt.end_rows)
            elif len(prompt.end):
                parts, origin = [prompt.end.to(between)], len(tail_ids)
            else:
                parts, origin = [prompt.back.to(between), between], len(prompt.back_rows)
            rows += [torch.cat(parts).expand(len(branches), -1, -1), branches]
            offset += [origin + step for step in steps]
            # Where the answer follows, and every token of the trie.
            keep += range(first + asked - 1, len(offset))
        visible = sees_behind(asked, trie).to(device)
        segments.append(Segment(tuple(numbers), start, asked + len(trie), hidden, visible))
    laid = [number for segment in segments for number in segment.prompts]
    return Blocks(
        embeds=torch.cat(rows, dim=1),
        offset=torch.tensor(offset, device=device),
        again=torch.tensor(again, dtype=torch.long, device=device),
        keep=torch.tensor(keep, device=device),
        order=torch.tensor(laid, device=device).argsort(),
        segments=segments,
    )


def sees_behind(length: int, trie: TokenTrie) -> Tensor:
    """[Q, Q] bool: a token sees those before it, but of the trie only those that it follows there.

    Args:
        length: how many of the Q tokens stand before the trie.
    """
    sees = torch.ones(length + len(trie), length + len(trie), dtype=torch.bool).tril()
    sees[length:, length:] = trie.sees
    return sees

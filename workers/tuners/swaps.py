"""Swaps of single tokens, guided by the gradient at their embeddings.

After AutoPrompt (Shin et al. 2020), where the gradient says which other tokens might lower the
loss, and GCG (Zou et al. 2023), which draws the swaps to try from all positions at once.
"""

import torch
from torch import Tensor

from autoprompt.search_spaces.schema import Position
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.tuners.vocabulary import readable_tokens, reads_back

#: How many tokens per position the gradient proposes; the swaps are drawn among them.
_PROPOSED = 64


def swapped(
    tokens: TokenIds,
    gradient: Tensor,
    count: int,
    position: Position,
    scorer: Scorer,
    generator: torch.Generator,
) -> list[TokenIds]:
    """Up to `count` prompts, each one swap away and each reading back as itself.

    Args:
        gradient: [P, H], of the loss by the tokens' embeddings.
    """
    model = scorer.model
    allowed = readable_tokens(model)
    # How much each token at each position promises to lower the loss, to first order: [P, V]. Only
    # a position's own order counts, so each is scaled, by a power of 2, to where float16 is exact.
    size = torch.frexp(gradient.abs().amax(dim=1, keepdim=True)).exponent.clamp(-126, 126)
    gains = -(torch.ldexp(gradient, -size).to(model.dtype) @ model.embeddings.T).float()
    gains = gains.masked_fill(~allowed.to(gains.device), -torch.inf)
    proposed = gains.topk(min(_PROPOSED, int(allowed.sum())), dim=-1).indices.cpu()
    # Twice as many as asked for: some will not survive being written as text and read again.
    draws = torch.randperm(proposed.numel(), generator=generator)[: 2 * count]
    swapped = []
    for draw in draws.tolist():
        place, rank = divmod(draw, proposed.shape[1])
        token = int(proposed[place, rank])
        if token != tokens[place]:
            swapped.append((*tokens[:place], token, *tokens[place + 1 :]))
    kept = reads_back(swapped, position, scorer.task, model)
    return [ids for ids, same in zip(swapped, kept, strict=True) if same][:count]


def best_of(losses: Tensor) -> tuple[int, float]:
    """Which of N prompts has the lowest mean loss on B texts, and that loss.

    Args:
        losses: [N, B].
    """
    losses = losses.mean(1)
    best = int(losses.argmin())
    return best, float(losses[best])

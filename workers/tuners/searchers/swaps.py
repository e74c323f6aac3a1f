"""Swaps of tokens, guided by the gradient at their embeddings.

After AutoPrompt (Shin et al. 2020), where the gradient on one batch says which other tokens might
lower the loss, and others decide; and GCG (Zou et al. 2023), which draws the swaps to try from all
positions at once. Early on a candidate has several of them; some are a token more, or one less.
"""

import math

import torch
from torch import Tensor

from autoprompt.workers.scoring import Scorer
from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.tuners.arrangement import Arrangement
from autoprompt.workers.tuners.inits import start_tokens
from autoprompt.workers.tuners.searchers.searcher import Place, Searcher
from autoprompt.workers.tuners.vocabulary import readable_tokens

#: How many tokens per position the gradient proposes; the swaps are drawn among them.
_PROPOSED = 64

#: So many swaps at once a candidate has in the first round; one from the middle on.
_EARLY_SWAPS = 3

#: The part of the candidates that are a token longer or shorter.
_RESIZED = 0.25


class Swaps(Searcher):
    """Replacement, insertion and deletion of tokens."""

    uses_gradient = True

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        plan = place.plan
        self.start = start_tokens(
            plan.start, plan.tokens, place.arranged, place.scorer, place.generator
        )

    def propose(self, best: TokenIds, gradient: Tensor | None, part: float) -> list[TokenIds]:
        place = self.place
        count = place.plan.candidates
        assert gradient is not None
        proposed = proposals(gradient, place.scorer)
        at_once = max(1, math.ceil(_EARLY_SWAPS * (1 - 2 * part)))
        resized = round(count * _RESIZED) if place.arranged.may_resize else 0
        found = [
            *self._resized(best, proposed, 2 * resized),
            *self._replaced(best, proposed, 2 * count, at_once),
        ]
        return place.reading_back([ids for ids in found if ids != best], count)

    def _replaced(
        self, best: TokenIds, proposed: Tensor, count: int, at_once: int
    ) -> list[TokenIds]:
        found = []
        for _ in range(count):
            ids = list(best)
            order = torch.randperm(len(best), generator=self.place.generator)[:at_once]
            for place in order.tolist():
                ids[place] = int(proposed[place, self.place.drawn(proposed.shape[1])])
            found.append(tuple(ids))
        return found

    def _resized(self, best: TokenIds, proposed: Tensor, count: int) -> list[TokenIds]:
        """Insertions behind a token, while there is room for them, and deletions."""
        found = []
        for number in range(count):
            place = self.place.drawn(len(best))
            if number % 2 and len(best) > 1:
                found.append((*best[:place], *best[place + 1 :]))
            elif len(best) < self.place.plan.tokens:
                token = int(proposed[place, self.place.drawn(proposed.shape[1])])
                found.append((*best[: place + 1], token, *best[place + 1 :]))
        return found


def proposals(gradient: Tensor, scorer: Scorer) -> Tensor:
    """[P, K], the tokens that promise most at each place to lower the loss, to first order.

    Args:
        gradient: [P, H], of the loss by the tokens' embeddings.
    """
    model = scorer.model
    allowed = readable_tokens(model)
    # Only a position's own order counts, so each is scaled, by a power of 2, to where float16 is
    # exact.
    size = torch.frexp(gradient.abs().amax(dim=1, keepdim=True)).exponent.clamp(-126, 126)
    gains = -(torch.ldexp(gradient, -size).to(model.dtype) @ model.embeddings.T).float()
    gains = gains.masked_fill(~allowed.to(gains.device), -torch.inf)
    return gains.topk(min(_PROPOSED, int(allowed.sum())), dim=-1).indices.cpu()


def swapped(
    tokens: TokenIds,
    gradient: Tensor,
    count: int,
    arranged: Arrangement,
    scorer: Scorer,
    generator: torch.Generator,
) -> list[TokenIds]:
    """Up to `count` prompts, each one swap away and each reading back as itself.

    Args:
        gradient: as `proposals` takes it.
    """
    proposed = proposals(gradient, scorer)
    # Twice as many as asked for: some will not survive being written as text and read again.
    draws = torch.randperm(proposed.numel(), generator=generator)[: 2 * count]
    found = []
    for draw in draws.tolist():
        place, rank = divmod(draw, proposed.shape[1])
        token = int(proposed[place, rank])
        if token != tokens[place]:
            found.append((*tokens[:place], token, *tokens[place + 1 :]))
    kept = arranged.reads_back(found)
    return [ids for ids, same in zip(found, kept, strict=True) if same][:count]

"""A policy over proposed tokens, learned from losses alone (RLPrompt, Deng et al. 2022): for models
whose gradients are not to be had, because they are quantised or lie on several devices.

RLPrompt trains a small network over a language model; here each place has a distribution of its own
over the tokens that the frozen model itself finds likely there, or over frequent ones where it
predicts no next token. REINFORCE (Williams 1992) moves it, with rewards that are standardised over
the candidates of a round.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.tuners.fluency import likely_tokens
from autoprompt.workers.tuners.inits import start_tokens
from autoprompt.workers.tuners.searchers.searcher import Place, Searcher
from autoprompt.workers.tuners.vocabulary import readable_tokens

#: Tokens that are proposed for each place, the start's own among them.
_PROPOSED = 64

#: How far a round moves the policy.
_RATE = 0.5

#: The start's own tokens begin so much likelier than the others, in nats.
_LEAD = 2.0


class Policy(Searcher):
    """Words drawn from a distribution that learns which of them lower the loss."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        plan = place.plan
        self.start = start_tokens(
            plan.start, plan.tokens, place.arranged, place.scorer, place.generator
        )
        #: [P, K], tokens, and what the policy makes of each.
        self._tokens = self._proposed()
        self._logits = torch.zeros(self._tokens.shape)
        self._logits[:, 0] = _LEAD
        self._asked: list[TokenIds] = []

    def propose(self, best: TokenIds, gradient: Tensor | None, part: float) -> list[TokenIds]:
        count = self.place.plan.candidates
        found = []
        for _ in range(3 * count):
            drawn = torch.multinomial(self._logits.softmax(-1), 1, generator=self.place.generator)
            found.append(tuple(self._tokens.gather(1, drawn)[:, 0].tolist()))
        self._asked = self.place.reading_back([ids for ids in found if ids != best], count)
        return self._asked

    def told(self, losses: Mapping[TokenIds, float]) -> None:
        rewards = torch.tensor([-losses[ids] for ids in self._asked])
        if len(rewards) < 2 or float(rewards.std()) == 0 or not bool(rewards.isfinite().all()):
            return
        rewards = (rewards - rewards.mean()) / rewards.std()
        probabilities = self._logits.softmax(-1)
        for ids, reward in zip(self._asked, rewards.tolist(), strict=True):
            taken = (self._tokens == torch.tensor(ids)[:, None]).float()
            self._logits += _RATE * reward / len(self._asked) * (taken - probabilities)

    def _proposed(self) -> Tensor:
        """[P, K], the start's own token first."""
        place = self.place
        model = place.scorer.model
        allowed = readable_tokens(model)
        rows = []
        likely = likely_tokens(self.start, place.arranged, place.scorer, place.examples.train)
        for number, token in enumerate(self.start):
            if likely is None:
                known = allowed.nonzero()[:, 0]
                others = known[torch.randperm(len(known), generator=place.generator)]
            else:
                ranks = likely[number].masked_fill(~allowed, -torch.inf)
                others = ranks.topk(_PROPOSED).indices
            own = [token, *(other for other in others[:_PROPOSED].tolist() if other != token)]
            rows.append(own[: _PROPOSED - 1])
        width = min(map(len, rows))
        return torch.tensor([row[:width] for row in rows])

"""Readouts beside the answers' own: what the model would say of its whole vocabulary."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from autoprompt.workers.answers.answers import Readout, Right
from autoprompt.workers.token_trie import TokenTrie


class _Unasked(Readout):
    """A readout that nothing is learned from."""

    kept = None

    def targets(self, rights: Sequence[Right]) -> Tensor:
        raise NotImplementedError

    def prior(self, log_probs: Tensor) -> tuple[float, ...]:
        return (0.0,) * self.size

    def losses(self, scores: Tensor, expected: Tensor) -> Tensor:
        raise NotImplementedError

    def surprise(self, log_probs: Tensor, expected: Tensor) -> Tensor:
        raise NotImplementedError

    def loss(self, log_probs: Tensor, expected: Tensor) -> float:
        raise NotImplementedError

    def as_dict(self) -> dict[str, Any]:
        raise NotImplementedError


class NextTokens(_Unasked):
    """The log-probabilities of some tokens as the next one, among the whole vocabulary."""

    branches = TokenTrie()
    starts = ()
    spoken = ()

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = torch.tensor(list(tokens))
        self.size = len(tokens)

    def __call__(self, logits: Tensor) -> Tensor:
        found = torch.log_softmax(logits[..., 0, :], dim=-1)
        return found[..., self._tokens.to(logits.device)]

    def log_probs(self, scores: Tensor, prior: Tensor) -> Tensor:
        return scores


class Nothing(_Unasked):
    """One token's logit, for who wants the model's states and not its words."""

    branches = TokenTrie()
    starts = ()
    spoken = ()
    size = 1
    kept = (0,)  # type: ignore[assignment]

    def __call__(self, logits: Tensor) -> Tensor:
        return logits[..., 0, :]

    def log_probs(self, scores: Tensor, prior: Tensor) -> Tensor:
        return scores


class LabelMass(_Unasked):
    """Answers, and behind them how probable it is that the model says any of them at all: the
    log-probability of their first tokens together, among the whole vocabulary."""

    def __init__(self, readout: Readout) -> None:
        self._answers = readout
        self.size = readout.size + 1
        self.branches = readout.branches
        self.starts, self.spoken = readout.starts, readout.spoken
        self._kept = readout.kept
        self._firsts = sorted({ids[0] for ids in readout.spoken})

    def __call__(self, logits: Tensor) -> Tensor:
        own = logits if self._kept is None else logits[..., list(self._kept)]
        next_token = torch.log_softmax(logits[..., 0, :], dim=-1)
        mass = torch.logsumexp(next_token[..., self._firsts], dim=-1, keepdim=True)
        return torch.cat([self._answers(own), mass], dim=-1)

    def log_probs(self, scores: Tensor, prior: Tensor) -> Tensor:
        own = self._answers.log_probs(scores[..., :-1], prior[..., :-1])
        return torch.cat([own, scores[..., -1:]], dim=-1)

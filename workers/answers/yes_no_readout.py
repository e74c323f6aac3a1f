"""Several labels on a model: yes or no behind each one's own question."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from autoprompt.workers.answers.answers import Readout, Right
from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.token_trie import TokenTrie


class YesNoReadout(Readout):
    """Of each label how much likelier yes is than no behind its question.

    Scores and log-probabilities [..., L] are of yes; what is not yes is no.
    """

    has_thresholds: ClassVar[bool] = True

    def __init__(
        self,
        labels: Sequence[str],
        asked: Sequence[TokenIds],
        words: Sequence[tuple[int, int]],
    ) -> None:
        self.labels = tuple(labels)
        self.size = len(labels)
        self.branches = TokenTrie.of(asked)
        self._places = [self.branches.places[ids] + 1 for ids in asked]
        self._asked, self._words = list(asked), list(words)
        self.kept = list(dict.fromkeys(token for pair in words for token in pair))
        self.starts = tuple(self.kept)
        self.spoken = tuple((token,) for token in self.kept)

    def targets(self, rights: Sequence[Right]) -> Tensor:
        """[B, L], 1 for a text's own labels."""
        found = torch.zeros(len(rights), self.size)
        for row, own in zip(found, rights, strict=True):
            row[list(own)] = 1.0
        return found

    def __call__(self, logits: Tensor) -> Tensor:
        """[..., L], the log-odds of yes."""
        columns = {token: column for column, token in enumerate(self.kept or ())}
        yes, no = (
            logits[..., self._places, [columns[pair[side]] for pair in self._words]]
            for side in (0, 1)
        )
        return (yes - no).float()

    def log_probs(self, scores: Tensor, prior: Tensor) -> Tensor:
        return torch.nn.functional.logsigmoid(scores - prior)

    def prior(self, log_probs: Tensor) -> tuple[float, ...]:
        """The log-odds of each label's mean probability."""
        mean = log_probs.exp().mean(0).clamp(1e-6, 1 - 1e-6)
        return tuple(torch.logit(mean).tolist())

    def thresholds(self, log_probs: Tensor, expected: Tensor) -> tuple[float, ...]:
        """[L], the log-odds from which on a label is given: those with the best F1 on B texts (Yang
        2001, SCut); 0 of a label that no text has, or every text.

        Args:
            log_probs: [B, L].
            expected: [B, L].
        """
        found = []
        for said, right in zip(log_probs.T, expected.T, strict=True):
            if not 0 < right.sum() < len(right):
                found.append(0.0)
                continue
            odds = (said - torch.log1p(-said.exp().clamp(max=1 - 1e-6))).double()
            order = odds.argsort(descending=True)
            hits = right[order].cumsum(0)
            scores = 2 * hits / (torch.arange(1, len(odds) + 1) + right.sum())
            ranked = odds[order]
            # A cut between two texts that cannot be told apart is none.
            scores[:-1][ranked[:-1] == ranked[1:]] = -1.0
            at = int(scores.argmax())
            below = ranked[at + 1] if at + 1 < len(ranked) else ranked[at] - 2.0
            found.append(float((ranked[at] + below) / 2))
        return tuple(found)

    def losses(self, scores: Tensor, expected: Tensor) -> Tensor:
        """The mean over labels of their cross-entropies."""
        return self._cross_entropy(scores, expected).mean(-1)

    def surprise(self, log_probs: Tensor, expected: Tensor) -> Tensor:
        no = torch.log1p(-log_probs.exp().clamp(max=1 - 1e-7))
        return -torch.where(expected > 0.5, log_probs, no).mean(-1)

    def loss(self, log_probs: Tensor, expected: Tensor) -> float:
        return float(self.surprise(log_probs, expected).mean())

    def as_dict(self) -> dict[str, Any]:
        return {"labels": self.labels, "asked": self._asked, "yes_no": self._words}

    @staticmethod
    def _cross_entropy(scores: Tensor, expected: Tensor) -> Tensor:
        wanted = expected.to(scores).expand(scores.shape)
        return torch.nn.functional.binary_cross_entropy_with_logits(
            scores, wanted, reduction="none"
        )

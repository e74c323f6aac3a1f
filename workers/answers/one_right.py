"""What is learnt where exactly one answer is right: its probability."""

from collections.abc import Sequence

import torch
from torch import Tensor

from autoprompt.workers.answers.answers import Readout, Right


class OneRight(Readout):
    """A readout whose right answers are places among the A answers."""

    def targets(self, rights: Sequence[Right]) -> Tensor:
        """[B], places."""
        return torch.tensor(rights, dtype=torch.long)

    def losses(self, scores: Tensor, expected: Tensor) -> Tensor:
        """Cross-entropy."""
        wanted = expected.expand(len(scores), -1)
        return torch.nn.functional.cross_entropy(scores.transpose(1, 2), wanted, reduction="none")

    def surprise(self, log_probs: Tensor, expected: Tensor) -> Tensor:
        wanted = expected.expand(log_probs.shape[:-1])
        return -log_probs.gather(-1, wanted[..., None])[..., 0]

    def loss(self, log_probs: Tensor, expected: Tensor) -> float:
        return float(torch.nn.functional.nll_loss(log_probs, expected))

"""Prompts that are trained side by side to err differently: negative correlation learning (Liu and
Yao 1999).

Of N prompts on the same texts each one's loss is less by a part of how far it stands from what they
say together,

    CE(y, p) - weight * KL(q || p),    q = softmax(mean over the N of log p),

whose gradient by the logits is Liu and Yao's, with probabilities for outputs: (p - y) - weight *
(p - q). With weight 0 each learns by itself. With 1 the mean of the N losses is the cross-entropy
of q: nothing asks that any of them be right alone (Webb et al. 2020; for any loss, Buschjäger et
al. 2020).
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Company(NamedTuple):
    """What N prompts that are trained beside one another say together of their B texts.

    Attributes:
        weight: 0 to 1, what standing apart from it counts.
        joint: [B, A], log-probabilities; no gradient flows to them.
    """

    weight: float
    joint: Tensor

    @classmethod
    def of(cls, weight: float, log_probs: Tensor) -> "Company":
        """The normalised geometric mean of what each of N says, [N, B, A]."""
        return cls(weight, torch.log_softmax(log_probs.mean(0), dim=-1))

    def apart(self, losses: Tensor, log_probs: Tensor, texts: slice | list[int]) -> Tensor:
        """A prompt's losses [B] as they were, with gradients that also move it away from the
        others.

        Args:
            log_probs: [B, A], what it says.
            texts: which of the company's texts these are.
        """
        joint = self.joint[texts]
        divergence = torch.nn.functional.kl_div(log_probs, joint, reduction="none", log_target=True)
        distance = divergence.sum(-1)
        # What is reported stays the loss.
        return losses - self.weight * (distance - distance.detach())

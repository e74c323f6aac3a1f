"""Numbers being trained beside a frozen model: one step after another, in float32."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from autoprompt.search_spaces import TrainedPlan
from autoprompt.workers.device_copies import on_device
from autoprompt.workers.prompt import Laid
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.tuners.optimizers import build_optimizer


class Training:
    """A plan's numbers with their optimizer; the master copy is float32 whatever the model
    computes in.

    Attributes:
        trained: [P, ...].
    """

    def __init__(self, plan: TrainedPlan, start: Tensor) -> None:
        self.plan = plan
        self.trained = torch.nn.Parameter(start)
        self._optimizer, self._schedule = build_optimizer(plan, self.trained)

    def begin(self) -> None:
        """Forget the last step's gradient."""
        self._optimizer.zero_grad()

    def finish(self) -> None:
        """Take a step along the gradient."""
        if self.plan.gradient_clip:
            torch.nn.utils.clip_grad_norm_([self.trained], self.plan.gradient_clip)
        self._optimizer.step()
        self._schedule.step()


class Graded(NamedTuple):
    """What a pass found of one prompt.

    Attributes:
        loss: its mean loss on the batch, in nats.
        gradient: of the loss by each part of the prompt's embeddings; None where nothing asks.
    """

    loss: float
    gradient: tuple[Tensor | None, ...]

    @property
    def norm(self) -> float:
        """The gradient's Euclidean norm."""
        parts = [part.float().norm() for part in self.gradient if part is not None]
        return float(torch.stack(parts).norm()) if parts else 0.0


def grade(
    prompts: Sequence[Laid], scorer: Scorer, texts: Sequence[TokenIds], labels: Tensor
) -> list[Graded]:
    """The loss of N prompts on a batch, and its gradients, which stay here until `passed_on`.

    One pass, or several whose gradients add up where memory does not hold the whole batch.

    Args:
        labels: [B].
    """
    labels = on_device(labels, scorer.model.device)
    cut = [
        Laid(*(part.detach().requires_grad_(part.requires_grad) for part in laid))
        for laid in prompts
    ]

    def part(indices: list[int]) -> Tensor:
        logits = scorer.label_logits(cut, [texts[index] for index in indices])
        losses = scorer.task.readout.losses(logits, labels[indices]).sum(1) / len(texts)
        losses.sum().backward()
        return losses.detach()

    lengths = [len(text) for text in texts]
    parts = [loss for _, loss in scorer.training_budget.run(lengths, lengths, part)]
    losses = torch.stack(parts).sum(0).tolist()
    return [
        Graded(loss, tuple(part.grad for part in laid))
        for loss, laid in zip(losses, cut, strict=True)
    ]


def passed_on(laid: Laid, graded: Graded) -> float:
    """The loss, once its gradients lie where the prompt's embeddings come from."""
    asking = [n for n, gradient in enumerate(graded.gradient) if gradient is not None]
    gradients = [graded.gradient[n] for n in asking]
    torch.autograd.backward([laid[n] for n in asking], gradients)
    return graded.loss

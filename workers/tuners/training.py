"""Numbers being trained beside a frozen model: one step after another, in float32."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from autoprompt.search_spaces import TrainedPlan
from autoprompt.workers.prompt import Laid
from autoprompt.workers.scoring import Asked, Scorer
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


class Batch(NamedTuple):
    """N prompts that are trained on the same B texts, whose answers are `labels` [B]."""

    prompts: Sequence[Laid]
    texts: Sequence[TokenIds]
    labels: Tensor


def grade(batches: Sequence[Batch], scorer: Scorer) -> list[Graded]:
    """The loss of every prompt on its batch, batch by batch, and its gradients, which stay here
    until `passed_on`.

    One pass for all of them; a single batch is taken in several, whose gradients add up, where
    memory does not hold the whole of it.
    """
    cut = [batch._replace(prompts=list(map(_cut, batch.prompts))) for batch in batches]
    if len(cut) == 1:
        losses = _in_parts(cut[0], scorer)
    else:
        logits = scorer.logits_of([Asked(batch.prompts, batch.texts) for batch in cut])
        found = [_losses(own, batch, scorer) for own, batch in zip(logits, cut, strict=True)]
        losses = torch.cat([own.mean(1) for own in found])
        losses.sum().backward()
    prompts = [laid for batch in cut for laid in batch.prompts]
    return [
        Graded(loss, tuple(part.grad for part in laid))
        for loss, laid in zip(losses.tolist(), prompts, strict=True)
    ]


def _cut(laid: Laid) -> Laid:
    """The same numbers, from which no gradient goes on to where they come from."""
    return Laid(*(part.detach().requires_grad_(part.requires_grad) for part in laid))


def _losses(logits: Tensor, batch: Batch, scorer: Scorer) -> Tensor:
    """[N, B]."""
    return scorer.task.readout.losses(logits, batch.labels.to(logits.device))


def _in_parts(batch: Batch, scorer: Scorer) -> Tensor:
    """[N], the losses on one batch, whose gradients are there then."""

    def part(indices: list[int]) -> Tensor:
        texts = [batch.texts[index] for index in indices]
        logits = scorer.label_logits(batch.prompts, texts)
        own = batch._replace(labels=batch.labels[indices])
        losses = _losses(logits, own, scorer).sum(1) / len(batch.texts)
        losses.sum().backward()
        return losses.detach()

    lengths = [len(text) for text in batch.texts]
    parts = [loss for _, loss in scorer.training_budget.run(lengths, lengths, part)]
    return torch.stack(parts).sum(0)


def passed_on(laid: Laid, graded: Graded) -> float:
    """The loss, once its gradients lie where the prompt's embeddings come from."""
    asking = [n for n, gradient in enumerate(graded.gradient) if gradient is not None]
    gradients = [graded.gradient[n] for n in asking]
    torch.autograd.backward([laid[n] for n in asking], gradients)
    return graded.loss

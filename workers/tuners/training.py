"""Numbers being trained beside a frozen model: one step after another, in float32."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from autoprompt.search_spaces import TrainedPlan
from autoprompt.workers.prompt import Laid
from autoprompt.workers.scoring import Asked, Scorer
from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.tuners.examples import Examples
from autoprompt.workers.tuners.optimizers import build_optimizer
from autoprompt.workers.tuners.progress import Backward


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


class _Batch(NamedTuple):
    """N prompts that are trained on the same B texts, whose answers are `labels` [B]."""

    prompts: list[Laid]
    texts: list[TokenIds]
    labels: Tensor


def costs_of(asked: Sequence[Backward], scorer: Scorer, examples: Examples) -> list[int | None]:
    """The query tokens of each step in a pass that it shares with others; None where it cannot."""
    costs: list[int | None] = []
    for laid, batch in asked:
        texts = [examples.train[index] for index in batch]
        shares = scorer.family.reuses([laid], texts)
        costs.append(scorer.family.queries(laid, texts) * len(texts) if shares else None)
    return costs


def grade(asked: Sequence[Backward], scorer: Scorer, examples: Examples) -> list[Graded]:
    """The loss of each of N prompts on its batch, and its gradients, which stay here until
    `passed_on`.

    One pass for all of them; where all ask for the same batch, and memory does not hold the whole
    of it, several whose gradients add up.
    """
    cut = [_cut(laid) for laid, _ in asked]
    same: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, (_, batch) in enumerate(asked):
        same[tuple(batch)].append(place)
    batches = [
        _Batch(
            [cut[place] for place in places],
            [examples.train[index] for index in batch],
            examples.train_labels[list(batch)],
        )
        for batch, places in same.items()
    ]
    if len(batches) == 1:
        losses = _in_parts(batches[0], scorer)
    else:
        logits = scorer.logits_of([Asked(batch.prompts, batch.texts) for batch in batches])
        found = [_losses(own, batch, scorer) for own, batch in zip(logits, batches, strict=True)]
        losses = torch.cat([own.mean(1) for own in found])
        losses.sum().backward()
    by_place = dict(zip(chain(*same.values()), losses.tolist(), strict=True))
    return [
        Graded(by_place[place], tuple(part.grad for part in laid)) for place, laid in enumerate(cut)
    ]


def _cut(laid: Laid) -> Laid:
    """The same numbers, from which no gradient goes on to where they come from."""
    return Laid(*(part.detach().requires_grad_(part.requires_grad) for part in laid))


def _losses(logits: Tensor, batch: _Batch, scorer: Scorer) -> Tensor:
    """[N, B]."""
    return scorer.task.readout.losses(logits, batch.labels.to(logits.device))


def _in_parts(batch: _Batch, scorer: Scorer) -> Tensor:
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

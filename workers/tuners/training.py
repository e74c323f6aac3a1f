"""Vectors being trained beside a frozen model: one step after another, in float32."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from search_spaces import TrainedPlan
from workers.prompt import Laid
from workers.scoring import Scorer
from workers.text_states import TokenIds
from workers.tuners.examples import Examples
from workers.tuners.inits import initial_vectors
from workers.tuners.optimizers import build_optimizer


class Training:
    """A plan's vectors with their optimizer; the master copy is float32 whatever the model
    computes in.

    Attributes:
        vectors: [P, H].
    """

    def __init__(
        self,
        plan: TrainedPlan,
        scorer: Scorer,
        examples: Examples,
        generator: torch.Generator,
    ) -> None:
        start = initial_vectors(plan, scorer.model, scorer.task, generator, examples.earlier)
        self.plan = plan
        self.vectors = torch.nn.Parameter(start)
        self._optimizer, self._schedule = build_optimizer(plan, self.vectors)

    def begin(self) -> None:
        """Forget the last step's gradient."""
        self._optimizer.zero_grad()

    def finish(self) -> None:
        """Take a step along the gradient."""
        if self.plan.gradient_clip:
            torch.nn.utils.clip_grad_norm_([self.vectors], self.plan.gradient_clip)
        self._optimizer.step()
        self._schedule.step()


def backward(
    prompts: Sequence[Laid], scorer: Scorer, texts: Sequence[TokenIds], labels: Tensor
) -> list[float]:
    """The mean loss of a batch for each of N prompts; gradients are left where they come from.

    One pass, or several whose gradients add up where memory does not hold the whole batch.

    Args:
        prompts: N prompts' embeddings, parted from what is trained without any arithmetic.
        labels: [B].
    """
    labels = labels.to(scorer.model.device)

    def part(indices: list[int]) -> Tensor:
        logits = scorer.label_logits(prompts, [texts[index] for index in indices])
        expected = labels[indices].expand(len(logits), -1)
        losses = cross_entropy(logits.transpose(1, 2), expected, reduction="none")
        losses = losses.sum(1) / len(texts)
        losses.sum().backward()
        return losses.detach()

    lengths = [len(text) for text in texts]
    parts = [loss for _, loss in scorer.training_budget.run(lengths, lengths, part)]
    return torch.stack(parts).sum(0).tolist()

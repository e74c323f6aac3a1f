"""Prompt tuning: a few vectors trained by gradient descent (Lester et al. 2021)."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from search_spaces import SoftPlan
from workers.prompt import half, lay, soft_prompt
from workers.scoring import Scorer
from workers.text_states import TokenIds
from workers.tuners.calibration import calibrated
from workers.tuners.examples import Examples
from workers.tuners.inits import initial_vectors
from workers.tuners.optimizers import build_optimizer
from workers.tuners.progress import Progress, checked, judge, rungs_by_step


def tune_soft(
    plan: SoftPlan, scorer: Scorer, examples: Examples, fractions: Sequence[float]
) -> Iterator[Progress]:
    """Train `plan.length` vectors; the master copy is float32 whatever the model computes in.

    Raises:
        TrialDivergedError: the loss stopped being a number.
    """
    generator = torch.Generator().manual_seed(plan.seed)
    model = scorer.model
    start = initial_vectors(plan, model, scorer.task, generator, examples.earlier)
    vectors = torch.nn.Parameter(start)
    optimizer, schedule = build_optimizer(plan, vectors)
    labels = examples.train_labels.to(model.device)
    batches = examples.train_batches(plan.batch_size, generator)
    rungs = rungs_by_step(plan.steps, fractions)
    losses: list[float] = []
    for step in range(1, plan.steps + 1):
        batch = next(batches)
        optimizer.zero_grad()
        texts = [examples.train[index] for index in batch]
        loss = _backward(vectors, plan, scorer, texts, labels[batch])
        losses.append(checked(loss, step, "try a lower learning_rate"))
        if plan.gradient_clip:
            torch.nn.utils.clip_grad_norm_([vectors], plan.gradient_clip)
        optimizer.step()
        schedule.step()
        if step in rungs:
            prompt = soft_prompt(vectors, plan.position, model)
            prompt = calibrated(prompt, plan.calibration, scorer, examples)
            yield judge(prompt, scorer, examples, rungs[step], step, losses)
            losses = []


def _backward(
    vectors: torch.nn.Parameter,
    plan: SoftPlan,
    scorer: Scorer,
    texts: list[TokenIds],
    labels: Tensor,
) -> float:
    """The mean loss of a batch; its gradient is left in `vectors`.

    One pass, or several whose gradients add up where memory does not hold the whole batch.
    """

    def part(indices: list[int]) -> float:
        chosen = [texts[index] for index in indices]
        laid = lay(vectors, plan.position, half(plan.length))
        logits = scorer.label_logits([laid], chosen)[0]
        loss = cross_entropy(logits, labels[indices], reduction="sum") / len(texts)
        loss.backward()
        return loss.item()

    lengths = [len(text) for text in texts]
    return sum(loss for _, loss in scorer.training_budget.run(lengths, lengths, part))

"""Prompt tuning: a few vectors trained by gradient descent (Lester et al. 2021)."""

from collections.abc import Iterator, Sequence

import torch
from torch.nn.functional import cross_entropy

from search_spaces import SoftPlan
from workers.prompt import soft_prompt
from workers.scoring import Scorer
from workers.tuners.examples import Examples
from workers.tuners.inits import initial_vectors
from workers.tuners.progress import Progress, checked, judge, rungs_by_step

#: The part of the steps over which the learning rate rises, before it falls to 0 in a line.
_WARMUP = 0.1


def tune_soft(
    plan: SoftPlan, scorer: Scorer, examples: Examples, fractions: Sequence[float]
) -> Iterator[Progress]:
    """Train `plan.length` vectors; the master copy is float32 whatever the model computes in.

    Raises:
        TrialDivergedError: the loss stopped being a number.
    """
    generator = torch.Generator().manual_seed(plan.seed)
    model = scorer.model
    vectors = torch.nn.Parameter(initial_vectors(plan, model, scorer.task, generator))
    optimizer = torch.optim.AdamW([vectors], lr=plan.learning_rate, weight_decay=0.0)
    warmup = max(1, round(plan.steps * _WARMUP))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / warmup) * (1 - step / plan.steps)
    )
    labels = examples.train_labels.to(model.device)
    batches = examples.train_batches(plan.batch_size, generator)
    rungs = rungs_by_step(plan.steps, fractions)
    losses: list[float] = []
    for step in range(1, plan.steps + 1):
        batch = next(batches)
        texts = [examples.train[index] for index in batch]
        logits = scorer.label_logits([vectors], plan.position, texts)[0]
        loss = cross_entropy(logits, labels[batch])
        losses.append(checked(loss.item(), step, "try a lower learning_rate"))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step in rungs:
            prompt = soft_prompt(vectors, plan.position, model)
            yield judge(prompt, scorer, examples, rungs[step], step, losses)
            losses = []

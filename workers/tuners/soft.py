"""Prompt tuning: a few vectors trained by gradient descent (Lester et al. 2021)."""

from collections.abc import Iterator, Sequence

import torch

from search_spaces import SoftPlan
from workers.prompt import half, lay, soft_prompt
from workers.scoring import Scorer
from workers.tuners.calibration import calibrated
from workers.tuners.examples import Examples
from workers.tuners.progress import Progress, checked, judge, rungs_by_step
from workers.tuners.training import Training, backward


def tune_soft(
    plan: SoftPlan, scorer: Scorer, examples: Examples, fractions: Sequence[float]
) -> Iterator[Progress]:
    """Train `plan.length` vectors.

    Raises:
        TrialDivergedError: the loss stopped being a number.
    """
    generator = torch.Generator().manual_seed(plan.seed)
    training = Training(plan, scorer, examples, generator)
    batches = examples.train_batches(plan.batch_size, generator)
    rungs = rungs_by_step(plan.steps, fractions)
    losses: list[float] = []
    for step in range(1, plan.steps + 1):
        batch = next(batches)
        texts = [examples.train[index] for index in batch]
        training.begin()
        laid = lay(training.vectors, plan.position, half(plan.length))
        [loss] = backward([laid], scorer, texts, examples.train_labels[batch])
        losses.append(checked(loss, step, "try a lower learning_rate"))
        training.finish()
        if step in rungs:
            prompt = soft_prompt(training.vectors, plan.position, scorer.model)
            prompt = calibrated(prompt, plan.calibration, scorer, examples)
            yield judge(prompt, scorer, examples, rungs[step], step, losses)
            losses = []

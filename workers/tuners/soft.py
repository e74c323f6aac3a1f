"""Prompt tuning: a few vectors trained by gradient descent (Lester et al. 2021)."""

from collections.abc import Sequence

import torch

from autoprompt.search_spaces import SoftPlan
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners.arrangement import Arrangement
from autoprompt.workers.tuners.examples import Examples
from autoprompt.workers.tuners.inits import initial_vectors
from autoprompt.workers.tuners.progress import AtRung, Backward, Tuner, checked, rungs_by_step
from autoprompt.workers.tuners.training import Training


def tune_soft(
    plan: SoftPlan, scorer: Scorer, examples: Examples, fractions: Sequence[float]
) -> Tuner:
    """Train `plan.length` vectors.

    Raises:
        TrialDivergedError: the loss stopped being a number.
    """
    generator = torch.Generator().manual_seed(plan.seed)
    start = initial_vectors(plan, scorer.model, scorer.task, generator, examples.earlier)
    training = Training(plan, start)
    batches = examples.train_batches(plan.batch_size, plan.data_seed)
    rungs = rungs_by_step(plan.steps, fractions)
    losses: list[float] = []
    arranged = Arrangement(plan, scorer)
    for step in range(1, plan.steps + 1):
        training.begin()
        loss = yield Backward(arranged.laid(None, training.trained), next(batches))
        losses.append(checked(loss, step, "try a lower learning_rate"))
        training.finish()
        if step in rungs:
            yield AtRung(rungs[step], step, arranged.prompt((), training.trained), losses)
            losses = []

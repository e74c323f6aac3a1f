"""KV prompts: keys and values of every layer, trained by gradient descent (prefix tuning, Li and
Liang 2021; P-tuning v2, Liu et al. 2022), without their reparametrisation."""

from collections.abc import Sequence

import torch

from autoprompt.search_spaces import KVPlan
from autoprompt.workers.prompt import kv_prompt, lay_rows
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners.arrangement import pieces_of
from autoprompt.workers.tuners.examples import Examples
from autoprompt.workers.tuners.progress import AtRung, Backward, Tuner, checked, rungs_by_step
from autoprompt.workers.tuners.row_inits import initial_rows
from autoprompt.workers.tuners.training import Training


def tune_kv(plan: KVPlan, scorer: Scorer, examples: Examples, fractions: Sequence[float]) -> Tuner:
    """Train `plan.length` rows.

    Raises:
        ModelError: the model cannot take a KV prompt.
        TrialDivergedError: the loss stopped being a number.
    """
    generator = torch.Generator().manual_seed(plan.seed)
    position = pieces_of(plan, scorer.wording.template, scorer.wording.columns).position
    if position != plan.position:
        plan = plan.model_copy(update={"position": position})
    training = Training(plan, initial_rows(plan, scorer, examples, generator))
    batches = examples.train_batches(plan.batch_size, plan.data_seed)
    rungs = rungs_by_step(plan.steps, fractions)
    losses: list[float] = []
    for step in range(1, plan.steps + 1):
        training.begin()
        loss = yield Backward(lay_rows(training.trained, plan.position), next(batches))
        losses.append(checked(loss, step, "try a lower learning_rate"))
        training.finish()
        if step in rungs:
            yield AtRung(rungs[step], step, kv_prompt(training.trained, plan.position), losses)
            losses = []

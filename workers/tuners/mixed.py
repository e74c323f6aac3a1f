"""Mixed prompts: vectors trained step by step, among tokens that are swapped now and then.

One backward pass gives both gradients: the vectors' moves them, the tokens' proposes swaps. A rung
reports the prompt as it is then: the vectors move on, and no earlier prompt can stand for them.
"""

from collections.abc import Sequence

import torch

from autoprompt.search_spaces import MixedPlan
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners.arrangement import Arrangement
from autoprompt.workers.tuners.examples import Examples
from autoprompt.workers.tuners.inits import initial_vectors, start_tokens
from autoprompt.workers.tuners.progress import AtRung, Backward, Tuner, checked, rungs_by_step
from autoprompt.workers.tuners.searchers.swaps import swapped
from autoprompt.workers.tuners.training import Training


def tune_mixed(
    plan: MixedPlan, scorer: Scorer, examples: Examples, fractions: Sequence[float]
) -> Tuner:
    """Train `plan.length` vectors, and try swaps of `plan.tokens` tokens meanwhile.

    Raises:
        TrialDivergedError: the loss stopped being a number.
    """
    generator = torch.Generator().manual_seed(plan.seed)
    model = scorer.model
    arranged = Arrangement(plan, scorer)
    hard = start_tokens(plan.start, plan.tokens, arranged, scorer, generator)
    start = initial_vectors(plan, model, scorer.task, generator, examples.earlier)
    training = Training(plan, start)
    batches = examples.train_batches(plan.batch_size, plan.data_seed)
    rungs = rungs_by_step(plan.steps, fractions)
    losses: list[float] = []
    for step in range(1, plan.steps + 1):
        batch = next(batches)
        texts, labels = [examples.train[index] for index in batch], examples.train_labels[batch]
        swaps = step % plan.swap_every == 0
        slots = model.embed(hard).float().requires_grad_(swaps)
        training.begin()
        loss = yield Backward(arranged.laid(slots, training.trained), batch)
        losses.append(checked(loss, step, "try a lower learning_rate"))
        training.finish()
        if swaps and slots.grad is not None:
            others = swapped(hard, slots.grad, plan.candidates, arranged, scorer, generator)
            prompts = [arranged.prompt(ids, training.trained) for ids in (hard, *others)]
            best = int(scorer.losses(prompts, texts, labels).mean(1).argmin())
            hard = (hard, *others)[best]
        if step in rungs:
            yield AtRung(rungs[step], step, arranged.prompt(hard, training.trained), losses)
            losses = []

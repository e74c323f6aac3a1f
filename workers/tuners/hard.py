"""Hard prompts by gradient-guided swaps of one token at a time.

All candidates of a round share one pass over the same cached texts. A round compares them on its
own batch alone, so the prompt may get worse for the texts in general: a rung reports the best of
those that the rungs so far have judged.
"""

from collections.abc import Sequence

import torch

from autoprompt.search_spaces import HardPlan
from autoprompt.workers.prompt import half, hard_prompt, lay
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.tuners.examples import Examples
from autoprompt.workers.tuners.inits import start_tokens
from autoprompt.workers.tuners.progress import AtRung, Backward, Tuner, checked, rungs_by_step
from autoprompt.workers.tuners.swaps import best_of, swapped


def tune_hard(
    plan: HardPlan, scorer: Scorer, examples: Examples, fractions: Sequence[float]
) -> Tuner:
    """Improve `plan.tokens` tokens over `plan.rounds` rounds.

    Raises:
        TrialDivergedError: the loss stopped being a number.
    """
    generator = torch.Generator().manual_seed(plan.seed)
    model = scorer.model
    current = start_tokens(plan.start, plan.tokens, plan.position, scorer, generator)
    batches = examples.train_batches(plan.batch_size, plan.data_seed)
    rungs = rungs_by_step(plan.rounds, fractions)
    losses: list[float] = []
    for step in range(1, plan.rounds + 1):
        batch = next(batches)
        texts, labels = [examples.train[index] for index in batch], examples.train_labels[batch]
        slots = model.embed(current).float().requires_grad_()
        yield Backward(lay(slots, plan.position, half(plan.tokens)), batch)
        assert slots.grad is not None
        others = swapped(current, slots.grad, plan.candidates, plan.position, scorer, generator)
        prompts = [hard_prompt(ids, plan.position, model) for ids in (current, *others)]
        best, loss = best_of(scorer.losses(prompts, texts, labels))
        losses.append(checked(loss, step, "the model's scores are not numbers"))
        current = prompts[best].token_ids
        if step in rungs:
            prompt = hard_prompt(current, plan.position, model)
            yield AtRung(rungs[step], step, prompt, losses, keeps_best=True)
            losses = []

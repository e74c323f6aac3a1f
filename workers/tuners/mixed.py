"""Mixed prompts: vectors trained step by step, among tokens that are swapped now and then.

One backward pass gives both gradients: the vectors' moves them, the tokens' proposes swaps. A rung
reports the prompt as it is then: the vectors move on, and no earlier prompt can stand for them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from autoprompt.search_spaces import MixedPlan
from autoprompt.search_spaces.schema import Position
from autoprompt.workers.prompt import VIRTUAL, Laid, Prompt, lay, trained_prompt
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.tuners.examples import Examples
from autoprompt.workers.tuners.inits import initial_vectors, start_tokens
from autoprompt.workers.tuners.progress import AtRung, Backward, Tuner, checked, rungs_by_step
from autoprompt.workers.tuners.swaps import best_of, swapped
from autoprompt.workers.tuners.training import Training


class _Arrangement:
    """How a plan's layout puts tokens and vectors into one prompt.

    Attributes:
        position: the prompt's.
        front: how many of its tokens and vectors stand before everything.
        beside: where the tokens by themselves stand.
    """

    def __init__(self, plan: MixedPlan) -> None:
        before, after = plan.layout.split("{text}")
        lengths = {"{hard}": plan.tokens, "{soft}": plan.length}
        self.position = plan.position
        self.front = sum(length for name, length in lengths.items() if name in before)
        self.beside: Position = "prefix" if "{hard}" in before else "suffix"
        self._hard_first = (before + after).startswith("{hard}")
        self._virtual = (VIRTUAL,) * plan.length
        # What a prompt wholly on one side is cut at follows from its position.
        self.front = self.front if self.position == "both" else 0

    def tokens(self, hard: TokenIds) -> TokenIds:
        return (*hard, *self._virtual) if self._hard_first else (*self._virtual, *hard)

    def laid(self, hard: Tensor, vectors: Tensor) -> Laid:
        """The prompt's embeddings from those of its tokens [P, H] and its vectors [P, H]."""
        parts = [hard, vectors] if self._hard_first else [vectors, hard]
        return lay(torch.cat(parts), self.position, self.front)


def tune_mixed(
    plan: MixedPlan, scorer: Scorer, examples: Examples, fractions: Sequence[float]
) -> Tuner:
    """Train `plan.length` vectors, and try swaps of `plan.tokens` tokens meanwhile.

    Raises:
        TrialDivergedError: the loss stopped being a number.
    """
    generator = torch.Generator().manual_seed(plan.seed)
    model = scorer.model
    arranged = _Arrangement(plan)
    hard = start_tokens(plan.start, plan.tokens, arranged.beside, scorer, generator)
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
            others = swapped(hard, slots.grad, plan.candidates, arranged.beside, scorer, generator)
            vectors = training.trained.detach().cpu()
            prompts = [
                Prompt("", arranged.tokens(ids), vectors, arranged.position, arranged.front)
                for ids in (hard, *others)
            ]
            best, _ = best_of(scorer.losses(prompts, texts, labels))
            hard = (hard, *others)[best]
        if step in rungs:
            prompt = trained_prompt(
                training.trained, arranged.position, arranged.front, arranged.tokens(hard)
            )
            yield AtRung(rungs[step], step, prompt, losses)
            losses = []

"""Hard prompts: words that a searcher proposes and a race decides between.

All candidates of a race share passes over the same cached texts. The best so far is kept: a race
compares it with the others on the same texts, on more of them as rounds go on. At a rung it races
against no words at all, and the better of the two is reported; the search goes on from the words.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from autoprompt.search_spaces import HardPlan
from autoprompt.workers.answers.vocabulary_readout import LabelMass
from autoprompt.workers.scoring import Scorer
from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.tuners.arrangement import Arrangement
from autoprompt.workers.tuners.examples import Examples
from autoprompt.workers.tuners.fluency import FEW, surprise
from autoprompt.workers.tuners.progress import AtRung, Backward, Tuner, checked, rungs_by_step
from autoprompt.workers.tuners.racing import BLOCKS_OF_A_ROUND, Losses, Racing
from autoprompt.workers.tuners.searchers import SEARCHERS, Place

_NO_NUMBER = "the model's scores are not numbers"


def tune_hard(
    plan: HardPlan, scorer: Scorer, examples: Examples, fractions: Sequence[float]
) -> Tuner:
    """Improve a prompt's words over `plan.rounds` rounds; with the searcher none, ask it as it is.

    Raises:
        TrialDivergedError: the loss stopped being a number.
    """
    generator = torch.Generator().manual_seed(plan.seed)
    arranged = Arrangement(plan, scorer)
    order = next(examples.train_batches(len(examples.train), plan.data_seed))
    losses_of = _losses(plan, arranged, scorer, examples)
    if plan.searcher == "none":
        _, loss = Racing(order, plan.batch_size, losses_of, chance=0.0).run([()], 1)
        yield AtRung(len(fractions), 1, arranged.prompt(()), [checked(loss, 1, _NO_NUMBER)])
        return
    searcher = SEARCHERS[plan.searcher](Place(plan, scorer, examples, arranged, order, generator))
    raced = [place for place in order if place not in searcher.reserved]
    racing = Racing(raced, plan.batch_size, losses_of, searcher.chance)
    best = searcher.start
    # Words between several places may not be read back without any in them.
    no_words: list[TokenIds] = [()] if arranged.reads_back([()])[0] else []
    batches = examples.train_batches(plan.batch_size, plan.data_seed)
    rungs = rungs_by_step(plan.rounds, fractions)
    losses: list[float] = []
    for step in range(1, plan.rounds + 1):
        done = (step - 1) / plan.rounds
        gradient: Tensor | None = None
        if searcher.uses_gradient:
            slots = scorer.model.embed(best).float().requires_grad_()
            yield Backward(arranged.laid(slots), next(batches))
            gradient = slots.grad
        others = searcher.propose(best, gradient, done)
        fewest, most = BLOCKS_OF_A_ROUND
        blocks = fewest + math.ceil(done * (most - fewest))
        # In this order, so that of two that are alike the one before stays.
        best, loss = racing.run([best, *others], blocks)
        searcher.told(racing.means([best, *others]))
        losses.append(checked(loss, step, _NO_NUMBER))
        if step in rungs:
            reported, _ = racing.run([*no_words, best], blocks)
            prompt = arranged.prompt(reported)
            yield AtRung(rungs[step], step, prompt, losses, keeps_best=True)
            losses = []


def _losses(plan: HardPlan, arranged: Arrangement, scorer: Scorer, examples: Examples) -> Losses:
    """What candidates are raced by: their losses on train texts, and what the plan adds to them."""
    #: How surprising each candidate's words are: the same on every block.
    said: dict[TokenIds, Tensor] = {}
    massed = None
    if plan.any_label:
        readout = LabelMass(scorer.task.readout)
        massed = scorer.seated(replace(scorer.task, readout=readout))

    def losses(candidates: Sequence[TokenIds], places: Sequence[int]) -> Tensor:
        prompts = [arranged.prompt(ids) for ids in candidates]
        texts = [examples.train[place] for place in places]
        labels = examples.train_labels[list(places)]
        if massed is None:
            found = scorer.losses(prompts, texts, labels)
        else:
            scores = massed.log_probs(prompts, texts)
            found = scorer.task.readout.surprise(scores[..., :-1], labels)
            found = found - plan.any_label * scores[..., -1]
        if plan.fluency:
            new = [ids for ids in candidates if ids not in said]
            if new:
                sides = [arranged.sides(ids) for ids in new]
                said.update(zip(new, surprise(sides, scorer, examples.train[:FEW]), strict=True))
            words = torch.stack([said[ids] for ids in candidates])
            found = found + plan.fluency * words[:, None]
        return found

    return losses

"""Hard prompts by gradient-guided swaps of one token at a time.

After AutoPrompt (Shin et al. 2020), where the gradient at a prompt's embeddings says which other
tokens might lower the loss, and GCG (Zou et al. 2023), which draws the swaps to try from all
positions at once. All candidates of a round share one pass over the same cached texts.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from search_spaces import HardPlan
from workers.prompt import half, hard_prompt, lay
from workers.scoring import Scorer
from workers.text_states import TokenIds
from workers.tuners.calibration import calibrated
from workers.tuners.examples import Examples
from workers.tuners.inits import phrase_tokens
from workers.tuners.progress import Progress, checked, judge, rungs_by_step
from workers.tuners.vocabulary import readable_tokens, reads_back

#: How many tokens per position the gradient proposes; the swaps are drawn among them.
_PROPOSED = 64


def tune_hard(
    plan: HardPlan, scorer: Scorer, examples: Examples, fractions: Sequence[float]
) -> Iterator[Progress]:
    """Improve `plan.tokens` tokens over `plan.rounds` rounds.

    Raises:
        TrialDivergedError: the loss stopped being a number.
    """
    generator = torch.Generator().manual_seed(plan.seed)
    model = scorer.model
    start = plan.start if plan.position == "prefix" else f" {plan.start}"
    current = tuple(phrase_tokens(start, plan.tokens, model))
    allowed = readable_tokens(model)
    labels = examples.train_labels
    batches = examples.train_batches(plan.batch_size, generator)
    rungs = rungs_by_step(plan.rounds, fractions)
    losses: list[float] = []
    for step in range(1, plan.rounds + 1):
        batch = next(batches)
        texts, expected = [examples.train[index] for index in batch], labels[batch]
        gain = _swap_gains(current, plan, scorer, texts, expected)
        swapped = _candidates(current, gain, allowed, plan, scorer, generator)
        prompts = [hard_prompt(ids, plan.position, model) for ids in (current, *swapped)]
        log_probs = scorer.log_probs(prompts, texts)
        found = -log_probs.gather(2, expected.expand(len(prompts), -1)[..., None]).mean((1, 2))
        best = int(found.argmin())
        losses.append(checked(float(found[best]), step, "the model's scores are not numbers"))
        current = prompts[best].token_ids
        if step in rungs:
            prompt = hard_prompt(current, plan.position, model)
            prompt = calibrated(prompt, plan.calibration, scorer, examples)
            yield judge(prompt, scorer, examples, rungs[step], step, losses)
            losses = []


def _swap_gains(
    tokens: TokenIds, plan: HardPlan, scorer: Scorer, texts: list[TokenIds], expected: Tensor
) -> Tensor:
    """How much each token of the vocabulary at each position promises to lower the loss, to first
    order: [P, V]."""
    model = scorer.model
    vectors = model.embed(tokens).float().requires_grad_()
    logits = scorer.label_logits([lay(vectors, plan.position, half(len(tokens)))], texts)[0]
    loss = cross_entropy(logits, expected.to(model.device))
    (gradient,) = torch.autograd.grad(loss, vectors)
    return -(gradient.to(model.dtype) @ model.embeddings.T).float()


def _candidates(
    tokens: TokenIds,
    gains: Tensor,
    allowed: Tensor,
    plan: HardPlan,
    scorer: Scorer,
    generator: torch.Generator,
) -> list[TokenIds]:
    """Up to `plan.candidates` prompts, each one swap away and each reading back as itself."""
    gains = gains.masked_fill(~allowed.to(gains.device), -torch.inf)
    proposed = gains.topk(min(_PROPOSED, int(allowed.sum())), dim=-1).indices.cpu()
    # Twice as many as asked for: some will not survive being written as text and read again.
    draws = torch.randperm(proposed.numel(), generator=generator)[: 2 * plan.candidates]
    swapped = []
    for draw in draws.tolist():
        place, rank = divmod(draw, proposed.shape[1])
        token = int(proposed[place, rank])
        if token != tokens[place]:
            swapped.append((*tokens[:place], token, *tokens[place + 1 :]))
    kept = reads_back(swapped, plan.position, scorer.task, scorer.model)
    return [ids for ids, same in zip(swapped, kept, strict=True) if same][: plan.candidates]

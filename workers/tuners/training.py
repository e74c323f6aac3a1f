"""Numbers being trained beside a frozen model: one step after another, in float32."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from autoprompt.search_spaces import TrainedPlan
from autoprompt.workers.device_copies import on_device
from autoprompt.workers.prompt import Laid
from autoprompt.workers.scoring import Asked, Scorer
from autoprompt.workers.text_states import TokenIds
from autoprompt.workers.tuners.company import Company
from autoprompt.workers.tuners.examples import Examples
from autoprompt.workers.tuners.optimizers import build_optimizer
from autoprompt.workers.tuners.progress import Backward

R = TypeVar("R")

#: What losses are multiplied by before gradients are taken, in a dtype whose smallest number is not
#: far below them: float16 ends at 6e-8. Taken off again in float32; a power of 2 costs no digit.
_LOSS_SCALE = {torch.float16: 2.0**12}

#: By so much the scale is lowered where a gradient became too large for the dtype.
_BACK_OFF = 2.0**4


class Training:
    """A plan's numbers with their optimizer; the master copy is float32 whatever the model
    computes in.

    Attributes:
        trained: [P, ...].
    """

    def __init__(self, plan: TrainedPlan, start: Tensor) -> None:
        self.plan = plan
        self.trained = torch.nn.Parameter(start)
        self._optimizer, self._schedule = build_optimizer(plan, self.trained)

    def begin(self) -> None:
        """Forget the last step's gradient."""
        self._optimizer.zero_grad()

    def finish(self) -> None:
        """Take a step along the gradient."""
        if self.plan.gradient_clip:
            torch.nn.utils.clip_grad_norm_([self.trained], self.plan.gradient_clip)
        self._optimizer.step()
        self._schedule.step()


class Graded(NamedTuple):
    """What a pass found of one prompt.

    Attributes:
        loss: its mean loss on the batch, in nats.
        gradient: of the loss by each part of the prompt's embeddings; None where nothing asks.
    """

    loss: float
    gradient: tuple[Tensor | None, ...]

    @property
    def norm(self) -> float:
        """The gradient's Euclidean norm."""
        parts = [part.float().norm() for part in self.gradient if part is not None]
        return float(torch.stack(parts).norm()) if parts else 0.0


class _Batch(NamedTuple):
    """N prompts that are trained on the same B texts, whose answers are `labels` [B].

    Attributes:
        companies: [N], what each is trained to differ from.
    """

    prompts: list[Laid]
    texts: list[TokenIds]
    labels: Tensor
    companies: list[Company | None]

    def losses(self, logits: Tensor, scorer: Scorer, texts: slice | list[int]) -> Tensor:
        """[N, B], of logits [N, B, A] of some of the texts."""
        readout = scorer.task.readout
        losses = readout.losses(logits, self.labels[texts])
        if not any(self.companies):
            return losses
        log_probs = readout.log_probs(logits, logits.new_zeros(()))
        rows = zip(self.companies, losses, log_probs, strict=True)
        apart = [own.apart(loss, said, texts) if own else loss for own, loss, said in rows]
        return torch.stack(apart)


def costs_of(asked: Sequence[Backward], scorer: Scorer, examples: Examples) -> list[int | None]:
    """The query tokens of each step in a pass that it shares with others; None where it cannot."""
    costs: list[int | None] = []
    for laid, batch, _ in asked:
        texts = [examples.train[index] for index in batch]
        shares = scorer.family.reuses([laid], texts)
        costs.append(scorer.family.queries(laid, texts) * len(texts) if shares else None)
    return costs


def in_passes(
    costs: Sequence[int | None], scorer: Scorer, step: Callable[[list[int]], R]
) -> Iterator[R]:
    """What `step` made of N steps, a pass at a time: of those that share passes, as few as memory
    and the processor make worth while; then of the others, each by itself.

    Args:
        costs: [N], as `costs_of` has them.
        step: called with the places of the steps of one pass.
    """
    shared = [place for place, cost in enumerate(costs) if cost is not None]
    own = [cost for cost in costs if cost is not None]
    passes = scorer.step_budget.run(own, own, lambda at: step([shared[n] for n in at]))
    yield from (made for _, made in passes)
    yield from (step([place]) for place, cost in enumerate(costs) if cost is None)


def grade(asked: Sequence[Backward], scorer: Scorer, examples: Examples) -> list[Graded]:
    """The loss of each of N prompts on its batch, and its gradients, which stay here until
    `passed_on`.

    One pass for all of them; where all ask for the same batch, and memory does not hold the whole
    of it, several whose gradients add up. In float16 losses are scaled, as `torch.amp.GradScaler`
    does. Where that is too much the pass is made again for those prompts, at once and with less: a
    step left out, or a scale remembered, would make a trial's numbers depend on the trials before
    and beside it.
    """
    scale = _LOSS_SCALE.get(scorer.model.dtype, 1.0)
    graded = _graded(asked, scorer, examples, scale)
    while scale > 1:
        fits = finite(graded)
        again = [n for n, each in enumerate(graded) if math.isfinite(each.loss) and not fits[n]]
        if not again:
            break
        scale /= _BACK_OFF
        repeated = _graded([asked[n] for n in again], scorer, examples, scale)
        for n, each in zip(again, repeated, strict=True):
            graded[n] = each
    return graded


def finite(graded: Sequence[Graded]) -> list[bool]:
    """Which of N prompts have gradients that are numbers; the device is waited for once."""
    places, found = [], []
    for place, each in enumerate(graded):
        for part in each.gradient:
            if part is not None:
                places.append(place)
                found.append(part.isfinite().all())
    fits = torch.stack(found).tolist() if found else []
    spoiled = {place for place, fit in zip(places, fits, strict=True) if not fit}
    return [place not in spoiled for place in range(len(graded))]


def _graded(
    asked: Sequence[Backward], scorer: Scorer, examples: Examples, scale: float
) -> list[Graded]:
    """As `grade`, with losses multiplied by `scale` where gradients are taken."""
    cut = [_cut(request.laid) for request in asked]
    same: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, request in enumerate(asked):
        same[tuple(request.batch)].append(place)
    batches = [
        _Batch(
            [cut[place] for place in places],
            [examples.train[index] for index in batch],
            on_device(examples.train_labels[list(batch)], scorer.model.device),
            [asked[place].company for place in places],
        )
        for batch, places in same.items()
    ]
    if len(batches) == 1:
        losses = _in_parts(batches[0], scorer, scale)
    else:
        held = [Asked(_held(batch.prompts, scorer), batch.texts) for batch in batches]
        found = [
            batch.losses(logits, scorer, slice(None)).mean(1)
            for logits, batch in zip(scorer.logits_of(held), batches, strict=True)
        ]
        losses = torch.cat(found)
        (losses.sum() * scale).backward()
    by_place = dict(zip(chain(*same.values()), losses.tolist(), strict=True))
    return [
        Graded(by_place[place], tuple(_divided(part.grad, scale) for part in laid))
        for place, laid in enumerate(cut)
    ]


def _in_parts(batch: _Batch, scorer: Scorer, scale: float) -> Tensor:
    """[N], the losses on one batch, whose gradients are there then."""

    def part(indices: list[int]) -> Tensor:
        texts = [batch.texts[index] for index in indices]
        logits = scorer.label_logits(_held(batch.prompts, scorer), texts)
        losses = batch.losses(logits, scorer, indices).sum(1) / len(batch.texts)
        (losses.sum() * scale).backward()
        return losses.detach()

    lengths = [len(text) for text in batch.texts]
    parts = [loss for _, loss in scorer.training_budget.run(lengths, lengths, part)]
    return torch.stack(parts).sum(0)


def in_company(
    asked: Mapping[int, Backward],
    sees: Mapping[int, int],
    weight: float,
    scorer: Scorer,
    examples: Examples,
) -> dict[int, Backward]:
    """The same steps, each with its company: prompts that see the same texts, on the same batch.

    What they say together is computed before any of them steps, so that a step is the same
    whichever passes memory has room for.

    Args:
        sees: what those may see that have company, by their numbers in `asked`.
        weight: of negative correlation.
    """
    beside: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for number, request in asked.items():
        if number in sees:
            beside[sees[number], *request.batch].append(number)
    steps = dict(asked)
    for (_, *batch), numbers in beside.items():
        if len(numbers) > 1:
            prompts = [asked[number].laid for number in numbers]
            texts = [examples.train[index] for index in batch]
            company = Company.of(weight, _finite(prompts, texts, scorer))
            steps |= {number: asked[number]._replace(company=company) for number in numbers}
    return steps


def _finite(prompts: Sequence[Laid], texts: Sequence[TokenIds], scorer: Scorer) -> Tensor:
    """[N, B, A], log-probabilities, without those of prompts that say what is no number."""
    said = _said(prompts, texts, scorer)
    if not bool(said.isfinite().all()):
        # One that is no number spoils those beside it.
        said = torch.cat([_said([prompt], texts, scorer) for prompt in prompts])
    return said[said.isfinite().flatten(1).all(1)]


@torch.no_grad()
def _said(prompts: Sequence[Laid], texts: Sequence[TokenIds], scorer: Scorer) -> Tensor:
    """[N, B, A], what N prompts say of B texts as log-probabilities."""
    readout, lengths = scorer.task.readout, [len(text) for text in texts]
    rows: dict[int, Tensor] = {}
    for pack, _ in scorer.packs(prompts, texts):
        held = _held([prompts[n] for n in pack], scorer)

        def part(indices: list[int], held: list[Laid] = held) -> Tensor:
            return scorer.label_logits(held, [texts[index] for index in indices])

        parts = list(scorer.training_budget.run(lengths, lengths, part))
        order = torch.tensor([index for indices, _ in parts for index in indices]).argsort()
        logits = torch.cat([made for _, made in parts], dim=1)[:, order.to(scorer.model.device)]
        rows |= zip(pack, readout.log_probs(logits, logits.new_zeros(())), strict=True)
    return torch.stack([rows[n] for n in range(len(prompts))])


def _cut(laid: Laid) -> Laid:
    """The same numbers, from which no gradient goes on to where they come from."""
    return Laid(*(part.detach().requires_grad_(part.requires_grad) for part in laid))


def _held(prompts: Sequence[Laid], scorer: Scorer) -> list[Laid]:
    """Prompts with their rows in the model's dtype; gradients add up in the master copy's."""
    dtype = scorer.model.dtype
    return [Laid(*laid[:4], *(rows.to(dtype) for rows in laid[4:])) for laid in prompts]


def _divided(gradient: Tensor | None, scale: float) -> Tensor | None:
    return None if gradient is None else gradient.float() / scale


def passed_on(laid: Laid, graded: Graded) -> float:
    """The loss, once its gradients lie where the prompt's embeddings come from."""
    asking = [n for n, gradient in enumerate(graded.gradient) if gradient is not None]
    gradients = [graded.gradient[n] for n in asking]
    torch.autograd.backward([laid[n] for n in asking], gradients)
    return graded.loss

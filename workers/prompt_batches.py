"""Many prompts on many texts without gradients: which of them share a pass."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from autoprompt.workers.batches import TokenBudget
from autoprompt.workers.families import Family
from autoprompt.workers.prompt import Laid, Prompt, lay, lay_rows
from autoprompt.workers.text_states import TokenIds

R = TypeVar("R")

#: A cached token's part in the cost of a pass: it is fetched, not computed.
_READ = 4

#: Query tokens behind each text, of the prompts packed into one pass.
_TOKENS_PER_PACK = 128


def in_batches(
    family: Family,
    budget: TokenBudget,
    prompts: Sequence[Prompt],
    texts: Sequence[TokenIds],
    work: Callable[[list[int], list[Laid], bool, list[int]], R],
    *,
    behind: Sequence[int] | None = None,
    once: bool = False,
) -> Iterator[tuple[list[int], list[int], R]]:
    """What `work` made of N prompts on B texts, a batch at a time: the places of prompts that
    share passes, and of texts of like length.

    Args:
        work: called with the prompts' places and their embeddings, whether these texts are not
            to be put into the cache, and the texts' places.
        behind: [B], tokens that each prompt takes behind a text beside its own.
        once: as in `label_logits`.
    """
    if not len(texts):
        return
    lengths = family.read_of(texts)
    shapes = shapes_of(prompts)
    packs = list(packs_of(family, shapes, texts))
    # What the first pack read, the next ones find.
    once = once and sum(reuses for _, reuses in packs) <= 1
    for pack, reuses in packs:
        embedded = [prompts[n].embedded(family.model) for n in pack]
        cost = sum(family.queries(shapes[n], texts) for n in pack)
        part = _READ if reuses and not once else 1
        costs = [
            cost + len(pack) * more + length // part
            for length, more in zip(lengths, behind or [0] * len(texts), strict=True)
        ]
        # Bound now: `run` may call this again with a part of a batch.
        own = functools.partial(work, pack, embedded, once)
        for batch, made in budget.run(lengths, costs, own):
            yield pack, batch, made


def packs_of(
    family: Family, prompts: Sequence[Laid], texts: Sequence[TokenIds]
) -> Iterator[tuple[list[int], bool]]:
    """Which of N prompts share a pass, and whether it goes over reused texts."""
    pack: list[int] = []
    cost = 0
    for n in range(len(prompts)):
        if not family.reuses([prompts[n]], texts):
            yield [n], False
            continue
        more = family.queries(prompts[n], texts)
        if pack and cost + more > _TOKENS_PER_PACK:
            yield pack, True
            pack, cost = [], 0
        pack.append(n)
        cost += more
    if pack:
        yield pack, True


def shapes_of(prompts: Sequence[Prompt]) -> list[Laid]:
    """Prompts as their family sees them, without embedding them."""
    shapes = []
    for prompt in prompts:
        shape = torch.empty(len(prompt), 0)
        if prompt.kind == "kv":
            shapes.append(lay_rows(shape, prompt.position))
        else:
            shapes.append(lay(shape, prompt.position, prompt.front))
    return shapes

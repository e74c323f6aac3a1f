"""Which validation texts judge a rung: blocks of them that grow from rung to rung.

Every trial is judged by the same block at the same rung, so that trials are compared on the same
texts. Each block holds the one before it, and its part of every label.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

#: Texts that judge a first rung, unless the configuration says how many. From twice as many
#: validation texts on: of fewer, all of them judge at every rung.
FIRST = 500


@dataclass(frozen=True)
class Blocks:
    """The blocks of B validation texts; none, where all of them judge at every rung.

    Attributes:
        order: [B], places of the texts; a block is its beginning.
        sizes: of the blocks of the first rungs, rising; at later rungs all of the texts judge.
    """

    order: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()

    def at(self, rung: int) -> int | None:
        """How many texts judge a rung, counted from 1; None for all of them."""
        return self.sizes[rung - 1] if rung <= len(self.sizes) else None


def blocks(
    labels: Sequence[Any],
    judging: int | str,
    rungs: int,
    growth: int,
    seed: int,
    first_of_auto: int = FIRST,
) -> Blocks:
    """The blocks of a search.

    Args:
        labels: [B], of the validation texts, or what else divides them.
        judging: how many texts judge the first rung, at least one of each label; all; or auto.
        rungs: how many a whole trial has; at the last one all texts judge.
        growth: each block has so many times the texts of the one before it.
        seed: the same one gives the same blocks.
        first_of_auto: the first rung's, where `judging` is auto, and there are twice as many.
    """
    total = len(labels)
    if judging == "auto":
        judging = first_of_auto if total >= 2 * first_of_auto else "all"
    if isinstance(judging, str):
        return Blocks()
    first = max(judging, len(set(labels)))
    sizes = (first * growth**rung for rung in range(rungs - 1))
    fewer = tuple(size for size in sizes if size < total)
    return Blocks(stratified(labels, seed), fewer) if fewer else Blocks()


def stratified(labels: Sequence[Any], seed: int) -> tuple[int, ...]:
    """The places of B texts in an order of which every beginning has its part of each label, within
    one text; one of each label comes first."""
    generator = random.Random(seed)
    places = list(range(len(labels)))
    generator.shuffle(places)
    by_label: dict[Any, list[int]] = defaultdict(list)
    for place in places:
        by_label[labels[place]].append(place)
    due = {
        place: (number / len(own), label)
        for label, own in by_label.items()
        for number, place in enumerate(own)
    }
    return tuple(sorted(places, key=due.__getitem__))

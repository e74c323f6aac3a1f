"""How many texts go through the model at once."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from autoprompt.workers.device_errors import is_out_of_memory

log = logging.getLogger(__name__)
R = TypeVar("R")

#: Texts that are scored once are tokenized, and reported as done, this many at a time.
_TEXTS_PER_WINDOW = 256


def windows(texts: Sequence[str]) -> Iterator[list[int]]:
    """Indices of texts, a few hundred at a time: alike in length, so that the batches of each hold
    little padding, and the longest first, so that what is left takes less long than it seems."""
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]), reverse=True)
    for start in range(0, len(order), _TEXTS_PER_WINDOW):
        yield order[start : start + _TEXTS_PER_WINDOW]


def batches(lengths: Sequence[int], costs: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indices of texts in batches: alike in length, so that little is padding, and of at most
    `budget` tokens (or one text).

    Args:
        lengths: what to sort by, one per text.
        costs: the tokens each text puts through the model.
    """
    batch: list[int] = []
    widest = 0
    for index in sorted(range(len(lengths)), key=lambda each: (lengths[each], each)):
        wider = max(widest, costs[index])
        if batch and wider * (len(batch) + 1) > budget:
            yield batch
            batch, wider = [], costs[index]
        batch.append(index)
        widest = wider
    if batch:
        yield batch


class TokenBudget:
    """How many tokens a pass may take: halved when memory runs out, and remembered.

    Attributes:
        tokens: the budget as it is now.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens

    def run(
        self, lengths: Sequence[int], costs: Sequence[int], work: Callable[[list[int]], R]
    ) -> Iterator[tuple[list[int], R]]:
        """Each batch of texts that fits, with what `work` made of it.

        Args:
            lengths, costs: as in `batches`.
            work: called with indices of texts.

        Raises:
            RuntimeError: a single text is too large for the memory there is.
        """
        waiting = list(batches(lengths, costs, self.tokens))
        while waiting:
            batch = waiting.pop(0)
            try:
                made = work(batch)
            except RuntimeError as error:
                if not is_out_of_memory(error) or len(batch) == 1:
                    raise
                self.tokens = max(1, len(batch) * max(costs[index] for index in batch) // 2)
                log.warning("out of memory: batches are now of %d tokens", self.tokens)
                left = [*batch, *(index for rest in waiting for index in rest)]
                parts = batches([lengths[i] for i in left], [costs[i] for i in left], self.tokens)
                waiting = [[left[place] for place in part] for part in parts]
                continue
            yield batch, made

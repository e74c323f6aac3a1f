"""How many texts go through the model at once."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from autoprompt.workers.device_errors import is_out_of_memory
from autoprompt.workers.rows import Text, as_text

log = logging.getLogger(__name__)
R = TypeVar("R")

#: Texts that are scored once are tokenized, and reported as done, this many at a time.
_TEXTS_PER_WINDOW = 256

#: So many full batches have to fit before one of twice the size is tried.
_BATCHES_BEFORE_GROWTH = 16


def windows(texts: Sequence[Text]) -> Iterator[list[int]]:
    """Indices of texts, a few hundred at a time: alike in length, so that the batches of each hold
    little padding, and the longest first, so that what is left takes less long than it seems."""
    lengths = [len(as_text(text)) for text in texts]
    order = sorted(range(len(texts)), key=lengths.__getitem__, reverse=True)
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
    for index in sorted(range(len(lengths)), key=lambda place: (lengths[place], place)):
        wider = max(widest, costs[index])
        if batch and wider * (len(batch) + 1) > budget:
            yield batch
            batch, wider = [], costs[index]
        batch.append(index)
        widest = wider
    if batch:
        yield batch


class TokenBudget:
    """How many tokens a pass may take: halved when memory runs out, and doubled again, up to where
    it began, once enough full batches have fitted.

    Memory that runs out soon after the budget grew is likely to do so again, so the next time twice
    as many batches have to fit.

    Attributes:
        tokens: the budget as it is now.
    """

    def __init__(self, tokens: int) -> None:
        self.tokens = tokens
        self._most = tokens
        self._needed = _BATCHES_BEFORE_GROWTH
        #: Full batches since the budget last changed.
        self._fitted = 0
        self._just_grown = False

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
            cost = len(batch) * max(costs[index] for index in batch)
            try:
                made = work(batch)
            except RuntimeError as error:
                if not is_out_of_memory(error) or len(batch) == 1:
                    raise
                self._shrink(cost)
                left = [*batch, *(index for rest in waiting for index in rest)]
                parts = batches([lengths[i] for i in left], [costs[i] for i in left], self.tokens)
                waiting = [[left[place] for place in part] for part in parts]
                continue
            self._count(cost)
            yield batch, made

    def _shrink(self, cost: int) -> None:
        """A batch of `cost` tokens did not fit."""
        if self._just_grown:
            self._needed *= 2
        self.tokens, self._fitted, self._just_grown = max(1, cost // 2), 0, False
        log.warning("out of memory: batches are now of %d tokens", self.tokens)

    def _count(self, cost: int) -> None:
        """A batch of `cost` tokens fitted, which says little of a budget that it leaves unused."""
        if 2 * cost <= self.tokens:
            return
        self._fitted += 1
        if self._fitted >= self._needed:
            self._just_grown = self.tokens < self._most
            self.tokens, self._fitted = min(2 * self.tokens, self._most), 0

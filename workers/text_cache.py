"""The KV cache of texts: each computed once by a frozen model.

A prompt laid after a text cannot change the text's keys and values, so every step of every trial
reuses them and pays for its own few tokens only.
"""

import os
import random
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autoprompt.workers.batches import TokenBudget, batches
from autoprompt.workers.cache_files import CacheFiles
from autoprompt.workers.cache_folder import cache_folder
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.text_states import Passage, states_of

#: Tokens in one forward pass while encoding: enough to keep the cores busy, little memory.
_TOKENS_PER_BATCH = 2048

#: Bytes that one process keeps at hand where nothing else is said.
DEFAULT_LIMIT = 4 << 30


@dataclass(frozen=True)
class CachedTexts:
    """B cached texts, padded on the right to the longest.

    Attributes:
        states: as `text_states` lays a batch out.
        mask: [B, T], True where a token is.
        passages: what they are.
    """

    states: Any
    mask: Tensor
    passages: Sequence[Passage]

    @property
    def lengths(self) -> Tensor:
        """[B], of the texts without what was kept of the template behind them."""
        tails = torch.tensor([passage.tail for passage in self.passages], device=self.mask.device)
        return self.mask.sum(1) - tails


@dataclass(frozen=True)
class CacheSpec:
    """How much of the texts a worker keeps, and where it shares them.

    Attributes:
        bytes_at_hand: in memory or mapped, for each worker.
        bytes_on_disk: for all the models' files of a machine together; 0 shares nothing.
        folder: where the files are; None for the machine's own cache folder.
    """

    bytes_at_hand: int = DEFAULT_LIMIT
    bytes_on_disk: int = 0
    folder: str | None = None

    def open(self, model: FrozenModel) -> "TextCache":
        """The text cache of a loaded model."""
        files = None
        if self.bytes_on_disk and model.cache_key is not None:
            folder = Path(self.folder) if self.folder else cache_folder()
            files = CacheFiles(folder / "texts", model.cache_key, self.bytes_on_disk)
        return TextCache(model, self.bytes_at_hand, files)


class TextCache:
    """Rows of states by what is kept of a text, for one model.

    Attributes:
        encoded: how many texts were run through the model so far.
        read: how many were found on disk.
        hits: how often a text that was asked for was at hand.
        bytes: the size of all that is at hand, in memory or mapped from files.
        states: what is kept of a text, and how.
    """

    def __init__(
        self, model: FrozenModel, limit: int = DEFAULT_LIMIT, files: CacheFiles | None = None
    ) -> None:
        """A cache with nothing at hand.

        Args:
            limit: bytes to keep at hand; beyond, the texts not asked for longest go first.
            files: where texts are shared with other processes and later searches.
        """
        self._device = model.device
        self.states = states_of(model)
        self._limit = limit
        self._files = files
        self._budget = TokenBudget(_TOKENS_PER_BATCH)
        # In the order of their last use.
        self._rows: dict[Passage, Tensor] = {}
        self.bytes = 0
        self.encoded = 0
        self.read = 0
        self.hits = 0

    def __contains__(self, text: Passage) -> bool:
        return text in self._rows

    def fill(self, texts: Sequence[Passage]) -> None:
        """Bring all of these texts to hand, encoding those that are nowhere yet."""
        wanted = dict.fromkeys(texts)
        missing = self._missing(texts)
        self.hits += len(wanted) - sum(map(len, missing))
        for batch in missing:
            self._bring(batch)
        for text in wanted:
            self._rows[text] = self._rows.pop(text)
        for text in list(self._rows):
            if self.bytes <= self._limit or text in wanted:
                break
            self.bytes -= self._rows.pop(text).nbytes

    def prefill(self, texts: Sequence[Passage]) -> None:
        """Bring as many of the texts to hand as the limit allows, ahead of their use.

        In batches of like length, which random batches are not, so it costs less than `fill` would
        in the course of a trial. Workers that begin together share the work: each goes its own way
        through the batches, and leaves those that another is at for last.
        """
        waiting = self._missing(texts)
        random.Random(os.getpid()).shuffle(waiting)
        taken = []
        for batch in waiting:
            if self.bytes >= self._limit:
                return
            with self._alone(batch, wait=False) as free:
                if free:
                    self._bring(batch)
                else:
                    taken.append(batch)
        for batch in taken:
            if self.bytes >= self._limit:
                return
            with self._alone(batch, wait=True):
                self._bring(batch)

    def _alone(self, batch: list[Passage], *, wait: bool) -> AbstractContextManager[bool]:
        """A batch to oneself, as `CacheFiles.alone` has a text: all who have the same texts to
        encode have the same batches of them."""
        if self._files is None:
            return nullcontext(True)
        return self._files.alone(_name(batch[0]), wait=wait)

    def _missing(self, texts: Sequence[Passage]) -> list[list[Passage]]:
        missing = sorted({text for text in texts if text not in self._rows})
        lengths = [len(text.ids) for text in missing]
        return [
            [missing[index] for index in batch]
            for batch in batches(lengths, lengths, _TOKENS_PER_BATCH)
        ]

    def _bring(self, texts: list[Passage]) -> None:
        unknown = []
        for text in texts:
            row = self._files.get(_name(text)) if self._files is not None else None
            if row is None or row.shape != (len(text.ids), self.states.width):
                unknown.append(text)
            else:
                self.read += 1
                self._hold(text, row.to(self._device))
        if unknown:
            for text, row in zip(unknown, self._encode(unknown), strict=True):
                stored = (
                    self._files.put(_name(text), row.cpu()) if self._files is not None else None
                )
                on_cpu = stored is not None and row.device.type == "cpu"
                self._hold(text, stored if on_cpu and stored is not None else row)

    def _hold(self, text: Passage, row: Tensor) -> None:
        self._rows[text] = row
        self.bytes += row.nbytes

    def _encode(self, texts: list[Passage]) -> list[Tensor]:
        """Each text's rows, [T, F]; in parts where memory does not hold all of them at once."""
        lengths = [len(text.ids) for text in texts]
        rows: dict[int, Tensor] = {}

        def encode(batch: list[int]) -> list[Tensor]:
            block = self.states.encode([texts[index] for index in batch])
            return [row[: lengths[index]].clone() for index, row in zip(batch, block, strict=True)]

        for batch, encoded in self._budget.run(lengths, lengths, encode):
            rows |= zip(batch, encoded, strict=True)
            self.encoded += len(batch)
        return [rows[index] for index in range(len(texts))]

    def batch(self, texts: Sequence[Passage]) -> CachedTexts:
        """The B texts, all of them at hand, padded to one another."""
        rows = [self._rows[text] for text in texts]
        lengths = torch.tensor([len(row) for row in rows], device=self._device)
        mask = torch.arange(int(lengths.max()), device=self._device) < lengths[:, None]
        return CachedTexts(self.states.batch(rows), mask, texts)


def _name(text: Passage) -> tuple[int, ...]:
    """What a text's file is known by: the same tokens stand elsewhere with a tail among them."""
    return (text.tail, *text.ids)

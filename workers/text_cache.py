"""The KV cache of texts: each computed once by a frozen model.

A prompt laid after a text cannot change the text's keys and values, so every step of every trial
reuses them and pays for its own few tokens only. Where not all texts fit, a fixed part of them is
kept (`text_places.py`): in memory, which on a GPU is the device's first and then the host's, or on
disk. The others are computed each time, and never written to be discarded.
"""

import os
import random
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from autoprompt.workers.batches import TokenBudget, batches
from autoprompt.workers.cache_files import OVERHEAD, CacheFiles
from autoprompt.workers.cache_folder import cache_folder
from autoprompt.workers.device_copies import on_device
from autoprompt.workers.frozen_model import FrozenModel
from autoprompt.workers.reading_rate import files_are_faster
from autoprompt.workers.rows_at_hand import RowsAtHand
from autoprompt.workers.text_places import places
from autoprompt.workers.text_states import Passage, states_of

#: Tokens in one forward pass while encoding: enough to keep the cores busy, little memory.
_TOKENS_PER_BATCH = 2048

#: Bytes that one process keeps at hand where nothing else is said.
DEFAULT_LIMIT = 4 << 30

_Place = Literal["hand", "disk", "nowhere"]


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

    @property
    def files_folder(self) -> Path:
        """Where all models' files are."""
        return (Path(self.folder) if self.folder else cache_folder()) / "texts"

    def open(self, model: FrozenModel) -> "TextCache":
        """The text cache of a loaded model."""
        files = None
        if self.bytes_on_disk and model.cache_key is not None:
            files = CacheFiles(self.files_folder, model.cache_key, self.bytes_on_disk)
        return TextCache(model, self.bytes_at_hand, files)


class TextCache:
    """Rows of states by what is kept of a text, for one model.

    Texts that `keep` was told of have their fixed places. What has no place at hand stays there
    while there is room, and goes when it was not asked for longest: a step goes over its texts
    several times.

    Attributes:
        encoded: how often a text was run through the model so far.
        read: how often one was found on disk.
        hits: how often a text that was asked for was at hand.
        states: what is kept of a text, and how.
    """

    def __init__(
        self, model: FrozenModel, limit: int = DEFAULT_LIMIT, files: CacheFiles | None = None
    ) -> None:
        """A cache with nothing at hand.

        Args:
            limit: bytes to keep at hand.
            files: where texts are shared with other processes and later searches.
        """
        self._device = model.device
        self.states = states_of(model)
        self._dtype = model.dtype
        self._files = files
        self._budget = TokenBudget(_TOKENS_PER_BATCH)
        self._places: dict[Passage, _Place] = {}
        #: Those at hand that have files, too.
        self._shared: set[Passage] = set()
        self._rows: dict[Passage, Tensor] = {}
        #: Texts at hand that have no place there, in the order of their last use.
        self._passing: dict[Passage, Tensor] = {}
        self._kept_bytes = self._passing_bytes = 0
        #: Bytes that no text has its place in.
        self._room = limit
        self._room_on_disk = files.limit if files is not None else 0
        self._at_hand = RowsAtHand(self._device)
        self.encoded = 0
        self.read = 0
        self.hits = 0

    def __contains__(self, text: Passage) -> bool:
        return text in self._rows or text in self._passing

    @property
    def bytes(self) -> int:
        """The size of all that is at hand, in memory or mapped from files."""
        return self._kept_bytes + self._passing_bytes

    def keep(self, texts: Sequence[Passage]) -> None:
        """Give each text its place, for good: where there is room left, in the order given."""
        new = [text for text in dict.fromkeys(texts) if text not in self._places]
        width = self.states.width * self._dtype.itemsize
        sizes = {text: text.length * width for text in new}
        found = places(list(sizes.values()), self._room, self._room_on_disk)
        at_hand = [new[index] for index in found.at_hand]
        on_disk = [new[index] for index in found.on_disk]
        found_in: dict[_Place, list[Passage]] = {"nowhere": new, "hand": at_hand, "disk": on_disk}
        self._places |= {text: place for place, own in found_in.items() for text in own}
        self._room -= sum(sizes[text] for text in at_hand)
        if self._files is not None:
            self._shared |= set(at_hand if found.shares else ())
            filed = [text for text in new if self._is_filed(text)]
            size = sum(sizes[text] + OVERHEAD for text in filed)
            self._room_on_disk -= size
            self._files.make_room(map(_name, filed), size)
        for text in at_hand:
            if text in self._passing:
                self._hold(text, self._let_go(text))
        self._make_room()

    def prefill(self) -> None:
        """Bring all texts to their places, ahead of their use.

        In batches of like length, which random batches are not, so it costs less than it would in
        the course of a trial. Workers that begin together share the work: each goes its own way
        through the batches, and leaves those that another is at for last.
        """
        at_hand = [text for text in self._in("hand") if text not in self._rows]
        waiting = [*self._batches(at_hand), *self._batches(self._worth_reading())]
        random.Random(os.getpid()).shuffle(waiting)
        taken = []
        for batch in waiting:
            with self._alone(batch, wait=False) as free:
                if free:
                    self._put_away(batch)
                else:
                    taken.append(batch)
        for batch in taken:
            with self._alone(batch, wait=True):
                self._put_away(batch)

    def forget(self) -> None:
        """Let go of all texts that have no place at hand, so that what is computed beside what from
        now on depends on nothing that came before."""
        for text in list(self._passing):
            self._let_go(text)

    def batch(self, texts: Sequence[Passage]) -> CachedTexts:
        """The B texts, padded to one another; those that are not at hand are read or computed."""
        rows = self._rows_of(dict.fromkeys(texts))
        own = [rows[text].to(self._device, non_blocking=True) for text in texts]
        lengths = [len(row) for row in own]
        place = torch.arange(max(lengths), device=self._device)
        mask = place < on_device(lengths, self._device)[:, None]
        return CachedTexts(self.states.batch(own), mask, texts)

    def _in(self, place: _Place) -> list[Passage]:
        return [text for text, own in self._places.items() if own == place]

    def _worth_reading(self) -> list[Passage]:
        """The texts to be read from disk each time: none, where a GPU computes them faster. On a
        CPU that was measured before the search began."""
        texts = self._in("disk")
        if self._files is None or not texts or self._device.type != "cuda":
            return texts
        batch = self._batches(texts)[0]
        if files_are_faster(self._files.root, self._device, lambda: self._encode(batch)):
            return texts
        self._places.update((text, "nowhere") for text in texts)
        return []

    def _alone(self, batch: list[Passage], *, wait: bool) -> AbstractContextManager[bool]:
        """A batch to oneself, as `CacheFiles.alone` has a text: all who have the same texts to
        encode have the same batches of them."""
        if self._files is None or not self._is_filed(batch[0]):
            return nullcontext(True)
        return self._files.alone(_name(batch[0]), wait=wait)

    def _is_filed(self, text: Passage) -> bool:
        return text in self._shared or self._places.get(text) == "disk"

    def _batches(self, texts: Iterable[Passage]) -> list[list[Passage]]:
        ordered = sorted(texts)
        lengths = [text.length for text in ordered]
        return [
            [ordered[index] for index in batch]
            for batch in batches(lengths, lengths, _TOKENS_PER_BATCH)
        ]

    def _put_away(self, texts: list[Passage]) -> None:
        """Bring texts to their places."""
        files = self._files
        if files is not None:
            # What lies on disk already is looked at when it is used.
            texts = [
                text for text in texts if self._places[text] == "hand" or _name(text) not in files
            ]
        for text, row in self._found(texts, write=True).items():
            if self._places[text] == "hand":
                self._hold(text, row)

    def _rows_of(self, texts: Iterable[Passage]) -> dict[Passage, Tensor]:
        rows: dict[Passage, Tensor] = {}
        missing = []
        for text in texts:
            if text in self._rows:
                rows[text] = self._rows[text]
            elif text in self._passing:
                rows[text] = self._passing[text] = self._passing.pop(text)
            else:
                missing.append(text)
        self.hits += len(rows)
        for batch in self._batches(missing):
            for text, row in self._found(batch).items():
                rows[text] = row
                if self._places.get(text) == "hand":
                    self._hold(text, row)
                else:
                    self._passing[text] = row
                    self._passing_bytes += row.nbytes
        self._make_room()
        return rows

    def _make_room(self) -> None:
        """Let go of texts that have no place at hand until the others fit."""
        while self._passing_bytes > self._room:
            self._let_go(next(iter(self._passing)))

    def _let_go(self, text: Passage) -> Tensor:
        row = self._passing.pop(text)
        self._passing_bytes -= row.nbytes
        return row

    def _found(self, texts: list[Passage], *, write: bool = False) -> dict[Passage, Tensor]:
        """Rows that are not at hand: read where they have files, else computed.

        Args:
            write: files of texts that are not at hand, where they are missing. Not in the course of
                a trial: another search has needed the room by then.
        """
        found = {}
        if self._files is not None:
            for text in filter(self._is_filed, texts):
                row = self._files.get(_name(text))
                if row is not None and row.shape == (text.length, self.states.width):
                    found[text] = row
                    self.read += 1
        unknown = [text for text in texts if text not in found]
        for text, row in zip(unknown, self._encode(unknown), strict=True):
            found[text] = row
            written = write or text in self._shared
            if self._files is not None and written and self._is_filed(text):
                stored = self._files.put(_name(text), row.cpu())
                if stored is not None and row.device.type == "cpu":
                    found[text] = stored
        return found

    def _hold(self, text: Passage, row: Tensor) -> None:
        row = self._at_hand.hold(row)
        self._rows[text] = row
        self._kept_bytes += row.nbytes

    def _encode(self, texts: list[Passage]) -> list[Tensor]:
        """Each text's rows, [T, F]; in parts where memory does not hold all of them at once."""
        lengths = [text.length for text in texts]
        rows: dict[int, Tensor] = {}

        def encode(batch: list[int]) -> list[Tensor]:
            block = self.states.encode([texts[index] for index in batch])
            return [row[: lengths[index]].clone() for index, row in zip(batch, block, strict=True)]

        for batch, encoded in self._budget.run(lengths, lengths, encode):
            rows |= zip(batch, encoded, strict=True)
            self.encoded += len(batch)
        return [rows[index] for index in range(len(texts))]


def _name(text: Passage) -> tuple[int, ...]:
    """What a text's file is known by: the same tokens stand elsewhere with a tail or a head among
    them."""
    head = (-text.head,) if text.head else ()
    return (*head, text.tail, *text.ids)

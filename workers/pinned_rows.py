"""Rows in page-locked host memory, which a GPU fetches without the processor waiting for it."""

import logging

import torch
from torch import Tensor

log = logging.getLogger(__name__)

#: Bytes locked at a time. PyTorch rounds each up to a power of two, which this is.
_SLAB = 1 << 26

#: Rows begin at multiples of so many bytes.
_ALIGNED = 64


class PinnedRows:
    """Rows copied into a few large blocks of memory, one behind another; they stay."""

    def __init__(self, slab: int = _SLAB, *, pin: bool = True) -> None:
        """Nothing yet.

        Args:
            slab: bytes of a block.
            pin: False where there is no GPU.
        """
        self._size = slab
        self._pin = pin
        self._slab = torch.empty(0, dtype=torch.uint8)
        self._used = 0

    def add(self, row: Tensor) -> Tensor:
        """A copy of a row [T, F] on the host."""
        if self._used + row.nbytes > len(self._slab):
            self._slab, self._used = self._block(max(self._size, row.nbytes)), 0
        place = self._slab[self._used : self._used + row.nbytes]
        self._used += -(-row.nbytes // _ALIGNED) * _ALIGNED
        return place.view(row.dtype).view(row.shape).copy_(row)

    def _block(self, size: int) -> Tensor:
        if self._pin:
            try:
                return torch.empty(size, dtype=torch.uint8, pin_memory=True)
            except RuntimeError as error:
                self._pin = False
                log.warning("text cache: memory cannot be locked, so copies are slower: %s", error)
        return torch.empty(size, dtype=torch.uint8)

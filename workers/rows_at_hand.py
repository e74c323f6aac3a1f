"""Where rows at hand lie: on their device, and where a GPU's memory is needed for passes, in
page-locked host memory, which a GPU fetches without the processor waiting for it."""

import logging

import torch
from torch import Tensor

log = logging.getLogger(__name__)

#: Bytes locked at a time. PyTorch rounds each up to a power of two, which this is.
_SLAB = 1 << 26

#: Rows begin at multiples of so many bytes.
_ALIGNED = 64

#: The part of a GPU's free memory that rows may take.
_OF_FREE_MEMORY = 0.5


class RowsAtHand:
    """Rows of a device, which stay; on a CPU, device and host are one."""

    def __init__(self, device: torch.device) -> None:
        """Nothing yet.

        Args:
            device: that passes are on, with the model in its memory already.
        """
        self._device = device
        self._room = 0
        self._pinned: PinnedRows | None = None
        if device.type == "cuda":
            self._room = int(torch.cuda.mem_get_info(device)[0] * _OF_FREE_MEMORY)
            self._pinned = PinnedRows()

    def hold(self, row: Tensor) -> Tensor:
        """A row [T, F] where it will stay."""
        if self._pinned is not None and row.nbytes > self._room:
            return self._pinned.add(row)
        self._room -= row.nbytes
        return row.to(self._device)


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

"""How much memory work takes at its most, on top of what was there before."""

import re
from contextlib import suppress
from pathlib import Path

import torch

_STATUS = Path("/proc/self/status")

#: Writing 5 here makes Linux forget a process's peak so far; see proc(5).
_FORGET = Path("/proc/self/clear_refs")


class PeakMemory:
    """Looks from when it is made: at a GPU's memory, or at this process's."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self._before: int | None = torch.cuda.memory_allocated(device)
            return
        with suppress(OSError):
            _FORGET.write_text("5")
        self._before = _in_status("VmRSS")

    @property
    def bytes(self) -> int | None:
        """The most since then; None where the system does not tell."""
        if self._device.type == "cuda":
            most: int | None = torch.cuda.max_memory_allocated(self._device)
        else:
            most = _in_status("VmHWM")
        if most is None or self._before is None:
            return None
        return max(most - self._before, 0)


def _in_status(name: str) -> int | None:
    """Bytes that Linux says of this process; None elsewhere."""
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) << 10 if found else None

"""How fast files are read, which says whether it is worth it: a device that computes a text faster
than its disk reads the text's states is better off without them."""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

#: Bytes that are written and read to find out.
_SAMPLE = 1 << 25


def reading_rate(folder: Path) -> float:
    """Bytes a second that come from the disk of a folder; 0 where nothing can be written there.

    What the machine still has in memory would be read faster, so the sample is put out of it first
    where the system can be told to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(prefix=".", dir=folder) as file:
            file.write(os.urandom(_SAMPLE))
            file.flush()
            os.fsync(file.fileno())
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            started = time.perf_counter()
            with open(file.name, "rb", buffering=0) as again:
                while again.read(1 << 20):
                    pass
            return _SAMPLE / (time.perf_counter() - started)
    except OSError:
        return 0.0


def files_are_faster(
    folder: Path, device: torch.device, encode: Callable[[], Sequence[Tensor]]
) -> bool:
    """Whether a GPU gets the states of texts from files in a folder sooner than it computes them.

    Args:
        encode: computes the states of some texts.
    """
    encode()
    torch.cuda.synchronize(device)
    started = time.perf_counter()
    size = sum(row.nbytes for row in encode())
    torch.cuda.synchronize(device)
    return size / (time.perf_counter() - started) < reading_rate(folder)

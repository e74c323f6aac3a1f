"""From the host to where a model computes."""

from collections.abc import Sequence

import torch
from torch import Tensor


def on_device(
    values: Tensor | Sequence[int], device: torch.device, dtype: torch.dtype | None = None
) -> Tensor:
    """Values as a tensor on a device.

    A GPU gets them from pinned memory, in the order of what it is asked for: an ordinary copy waits
    until it has done all that was asked before.
    """
    held = torch.as_tensor(values, dtype=dtype)
    if device.type == "cuda" and held.device.type == "cpu":
        return held.pin_memory().to(device, non_blocking=True)
    return held.to(device)

"""What an error of torch says of the device: that memory ran out, or that the device is broken.

Out of memory is survived with a smaller batch. After a device-side error (a failed assert, an
illegal address) every later call of the same process fails as well, whatever it asks for: only a
new process helps.
"""

from collections.abc import Iterator

import torch

from autoprompt.search_spaces.errors import AutopromptError

#: What allocators say, in lower case: CUDA's and its libraries', the CPU's on Linux and on Windows.
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "_alloc_failed")

#: What a GPU's runtime says, in lower case.
_BROKEN = (
    "cuda error",
    "hip error",
    "cuda driver error",
    "hip driver error",
    "device-side assert",
    "illegal memory access",
    "unspecified launch failure",
    "cudnn_status_execution_failed",
    "cudnn_status_internal_error",
)


class DeviceBrokenError(AutopromptError, RuntimeError):
    """A worker's device answers no more; a new process can go on, this one cannot."""


#: torch 2.8 and later have a class of their own for errors of a device's runtime.
_BROKEN_TYPES = (DeviceBrokenError, getattr(torch, "AcceleratorError", DeviceBrokenError))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on a GPU or in the CPU's allocator."""
    return any(map(_says_out_of_memory, _chain(error)))


def is_device_broken(error: BaseException) -> bool:
    """Whether the device fails whatever it is asked; out of memory is not that."""
    return not is_out_of_memory(error) and any(map(_says_broken, _chain(error)))


def raise_if_device_broken(error: BaseException) -> None:
    """To be called where a trial's own failures are caught.

    Raises:
        DeviceBrokenError: the failure is the device's, and would be every later trial's.
    """
    if isinstance(error, DeviceBrokenError):
        raise error
    if is_device_broken(error):
        line = str(error).strip().splitlines()[0]
        raise DeviceBrokenError(
            f"the device fails whatever this process asks of it: {line}"
        ) from error


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and those that it was raised from, such as a loader's below a `ModelError`."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__


def _says_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _says(error, _OUT_OF_MEMORY)


def _says_broken(error: BaseException) -> bool:
    if isinstance(error, _BROKEN_TYPES):
        return True
    return isinstance(error, RuntimeError) and _says(error, _BROKEN)


def _says(error: BaseException, words: tuple[str, ...]) -> bool:
    message = str(error).lower()
    return any(word in message for word in words)

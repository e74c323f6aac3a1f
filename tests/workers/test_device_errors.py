"""Out of memory, a broken device, and neither: told apart by what torch and its libraries say."""

import pytest
import torch

from autoprompt.search_spaces.errors import ModelError
from autoprompt.workers.device_errors import (
    DeviceBrokenError,
    is_device_broken,
    is_out_of_memory,
    raise_if_device_broken,
)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"),
    ],
    ids=["CUDA", "Linux", "Windows", "CUDA's runtime", "cuBLAS"],
)
def test_out_of_memory_is_no_broken_device(error: RuntimeError) -> None:
    assert is_out_of_memory(error)
    assert not is_device_broken(error)
    raise_if_device_broken(error)


def test_the_cpu_allocator_of_this_system_is_understood() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: device-side assert triggered\nCUDA kernel errors might be",
        "HIP error: an illegal memory access was encountered",
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`",
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    ],
)
def test_a_broken_device_is_raised_in_one_line(message: str) -> None:
    error = RuntimeError(message)
    assert not is_out_of_memory(error)
    with pytest.raises(DeviceBrokenError) as caught:
        raise_if_device_broken(error)
    assert str(caught.value).endswith(message.splitlines()[0])
    with pytest.raises(DeviceBrokenError) as again:
        raise_if_device_broken(caught.value)
    assert again.value is caught.value


def test_a_loader_that_met_a_broken_device_is_seen_through() -> None:
    wrapped = ModelError("model x: cannot be loaded")
    wrapped.__cause__ = RuntimeError("CUDA error: device-side assert triggered")
    assert is_device_broken(wrapped)


def test_a_trials_own_failure_is_neither() -> None:
    for error in (RuntimeError("shape mismatch"), ValueError("CUDA error"), KeyError()):
        assert not is_out_of_memory(error)
        assert not is_device_broken(error)
        raise_if_device_broken(error)

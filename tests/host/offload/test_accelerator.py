"""Which errors mean that memory ran out."""

from __future__ import annotations

import torch

from acestep_xl.host.offload.accelerator import OutOfMemory, is_out_of_memory


def test_out_of_memory_errors_are_recognised() -> None:
    errors = [torch.OutOfMemoryError("CUDA out of memory."), MemoryError(), OutOfMemory("x"),
              RuntimeError("MPS backend out of memory"), RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling"),
              RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]  # fmt: skip
    assert all(map(is_out_of_memory, errors))
    assert not any(map(is_out_of_memory, [RuntimeError("shape"), ValueError("out of memory"), KeyError()]))

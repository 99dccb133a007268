"""The device that computes: how much of its memory is free, and how weights get there."""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .buffer import empty_packed
from .copy_stream import CopyStream, CudaCopyStream, SyncCopy

_logger = logging.getLogger("acestep_xl")
# Bytes left free beside what was requested: allocator slack and the driver's own buffers.
RESERVE = 512 * 2**20
# Out-of-memory messages of devices and libraries for which torch has no error class.
OOM_MESSAGES = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


@dataclass(frozen=True)
class MemoryInfo:
    """Bytes of a device's memory. free: available to weights and work together, with all of our weights offloaded."""

    free: int
    total: int


class OutOfMemory(torch.OutOfMemoryError):
    """No strategy fits: says what was requested, what was free and what helps.

    A subclass of torch's error, after which ComfyUI unloads all models.
    """


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on any device."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(message in str(error).lower() for message in OOM_MESSAGES)


class Accelerator(Protocol):
    """A device with memory of its own."""

    device: torch.device

    def free_memory(self) -> int | None:
        """Bytes that can be allocated now; None where the device does not report them."""
        ...

    def total_memory(self) -> int | None: ...

    def copy_stream(self) -> CopyStream: ...

    def pin(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The same tensors in memory that copies fast to the device; copied only if they are not there already."""
        ...

    def reclaim(self) -> None:
        """Return cached, unused memory to the device."""
        ...


class TorchAccelerator:
    """Any torch device but the CPU."""

    def __init__(self, device: torch.device) -> None:
        if device.index is None and device.type in ("cuda", "xpu"):
            device = torch.device(device.type, getattr(torch, device.type).current_device())
        self.device = device
        self._can_pin = device.type == "cuda"

    def free_memory(self) -> int | None:
        """Counts torch's own cache as free."""
        if (free_and_total := self._memory()) is None:
            return None
        backend = getattr(torch, self.device.type)
        return free_and_total[0] + backend.memory_reserved(self.device) - backend.memory_allocated(self.device)

    def total_memory(self) -> int | None:
        free_and_total = self._memory()
        return None if free_and_total is None else free_and_total[1]

    def copy_stream(self) -> CopyStream:
        return CudaCopyStream(self.device) if self.device.type == "cuda" else SyncCopy()

    def pin(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        if not self._can_pin or all(tensor.is_pinned() for tensor in tensors):
            return list(tensors)
        try:
            # One allocation for all: torch rounds each up to a power of two.
            pinned = empty_packed(tensors, pin_memory=True)
        except RuntimeError as error:
            self._can_pin = False
            _logger.warning("page-locked memory is not available (%s): streaming weights will be slower", error)
            return list(tensors)
        for target, source in zip(pinned, tensors, strict=True):
            target.copy_(source)
        return pinned

    def reclaim(self) -> None:
        gc.collect()
        if self.device.type in ("cuda", "xpu", "mps"):
            getattr(torch, self.device.type).empty_cache()

    def _memory(self) -> tuple[int, int] | None:
        """Free and total bytes as the driver reports them."""
        if self.device.type not in ("cuda", "xpu"):
            return None
        return getattr(torch, self.device.type).mem_get_info(self.device)

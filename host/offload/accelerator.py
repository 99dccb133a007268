"""The device that computes, as its memory is managed: how much is free, and how weights travel to it."""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import torch
from torch import Tensor

_logger = logging.getLogger("acestep_xl")
# Left free beside what was asked for: allocator slack and the driver's own buffers.
RESERVE = 512 * 2**20
# What devices and libraries say when memory is out and torch has no class of its own for it.
SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


@dataclass(frozen=True)
class MemoryInfo:
    """Bytes of a device's memory. free: what weights and work may have together, once everything of ours has left."""

    free: int
    total: int


class OutOfMemory(torch.OutOfMemoryError):
    """No plan was small enough: says what was asked, what was free and what helps. Also ComfyUI's kind of error, so
    that ComfyUI unloads everything after it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was what failed, on whatever device."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS)


class CopyStream(Protocol):
    """The way of weights from main memory to a device, beside the computation there."""

    def send(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> Any:
        """Begin to copy (target, source) pairs. Targets may be in use until the last `release`. Returns a ticket."""
        ...

    def arrive(self, ticket: Any) -> None:
        """Whatever is computed from now on sees the copies of a ticket."""
        ...

    def release(self) -> None:
        """What computes so far may be the last to read its weights."""
        ...

    def close(self) -> None:
        """Whatever is computed from now on may use the targets' memory for something else."""
        ...


class SyncCopy:
    """Copies at once: devices without streams."""

    def send(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> Any:
        for target, source in pairs:
            target.copy_(source)

    def arrive(self, ticket: Any) -> None:
        pass

    def release(self) -> None:
        pass

    def close(self) -> None:
        pass


class CudaCopyStream:
    """Copies on a stream of its own; nothing here makes the CPU wait."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._side = torch.cuda.Stream(device)
        self.release()

    def send(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> Any:
        with torch.cuda.stream(self._side):
            self._side.wait_event(self._released)
            for target, source in pairs:
                target.copy_(source, non_blocking=True)
            return self._side.record_event()

    def arrive(self, ticket: Any) -> None:
        torch.cuda.current_stream(self._device).wait_event(ticket)

    def release(self) -> None:
        self._released = torch.cuda.current_stream(self._device).record_event()

    def close(self) -> None:
        torch.cuda.current_stream(self._device).wait_stream(self._side)


class Accelerator(Protocol):
    """A device with memory of its own."""

    device: torch.device

    def free(self) -> int | None:
        """Bytes that can be allocated now; None where the device does not tell."""
        ...

    def total(self) -> int | None: ...

    def lane(self) -> CopyStream: ...

    def pin(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The same tensors in main memory from which they travel fast; a copy is made only where they are not yet."""
        ...

    def reclaim(self) -> None:
        """Give back what is cached and used by nobody."""
        ...


class TorchAccelerator:
    """A device of torch that is not the CPU."""

    def __init__(self, device: torch.device) -> None:
        if device.index is None and device.type in ("cuda", "xpu"):
            device = torch.device(device.type, getattr(torch, device.type).current_device())
        self.device = device
        self._pins = device.type == "cuda"

    def free(self) -> int | None:
        """Counts torch's own cache as free."""
        if self.device.type not in ("cuda", "xpu"):
            return None
        backend = getattr(torch, self.device.type)
        free, _ = backend.mem_get_info(self.device)
        return free + backend.memory_reserved(self.device) - backend.memory_allocated(self.device)

    def total(self) -> int | None:
        if self.device.type not in ("cuda", "xpu"):
            return None
        return getattr(torch, self.device.type).mem_get_info(self.device)[1]

    def lane(self) -> CopyStream:
        return CudaCopyStream(self.device) if self.device.type == "cuda" else SyncCopy()

    def pin(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        if not self._pins or all(tensor.is_pinned() for tensor in tensors):
            return list(tensors)
        try:
            # One allocation for all: torch rounds each up to a power of two.
            buffer = torch.empty(sum(map(aligned, tensors)), dtype=torch.uint8, pin_memory=True)
        except RuntimeError as error:
            self._pins = False
            _logger.warning("no page-locked memory to stream weights from (%s): streaming will be slower", error)
            return list(tensors)
        pinned = cut(buffer, tensors)
        for target, source in zip(pinned, tensors, strict=True):
            target.copy_(source)
        return pinned

    def reclaim(self) -> None:
        gc.collect()
        if self.device.type in ("cuda", "xpu", "mps"):
            getattr(torch, self.device.type).empty_cache()


# Of a tensor in a shared buffer; kernels are fastest, and round the same, on addresses like an allocation's own.
ALIGNMENT = 256


def aligned(tensor: Tensor) -> int:
    """Bytes of a tensor, rounded up to the alignment."""
    return -(-tensor.numel() * tensor.element_size() // ALIGNMENT) * ALIGNMENT


def cut(buffer: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Tensors of the shapes and types of others, one after the other in a buffer of bytes."""
    made, start = [], 0
    for tensor in like:
        size = prod(tensor.shape) * tensor.element_size()
        made.append(buffer[start : start + size].view(tensor.dtype).view(tensor.shape))
        start += aligned(tensor)
    return made

"""An accelerator of any memory size on a machine without one: torch takes cpu:0 for another device than cpu."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from acestep_xl.host.offload.buffer import empty_packed
from acestep_xl.host.offload.copy_stream import SyncCopy
from acestep_xl.host.offload.weights import originals_of

DEVICE = torch.device("cpu", 0)


class LateCopyStream:
    """As slow as a stream can be: copies finish when they are waited for, and overwrite their targets at once.

    Weights read before they arrive, or after their use was recorded, are NaN.
    """

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self._queue: list[list[tuple[Tensor, Tensor]]] = []

    def copy(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> Any:
        for target, source in pairs:
            target.view(torch.uint8).fill_(255)  # NaN in every float dtype
            assert source.device == torch.device("cpu")
        self._queue.append(list(pairs))
        self.log.append("copy")
        return self._queue[-1]

    def wait(self, event: Any) -> None:
        while self._queue:  # a stream is in order: earlier copies have finished too
            first = self._queue.pop(0)
            for target, source in first:
                target.copy_(source)
            if first is event:
                break
        self.log.append("wait")

    def record_use(self) -> None:
        self.log.append("record_use")

    def close(self) -> None:
        self.log.append("close")


class FakeAccelerator:
    """An `Accelerator` whose free memory is its size less the weights of `modules` loaded on it."""

    def __init__(self, size: int = 2**40, late: bool = False) -> None:
        self.device = DEVICE
        self.size = size
        self.modules: list[nn.Module] = []
        self.log: list[str] = []
        self.pinned = 0
        self._late = late
        self._pinned: set[int] = set()

    def used(self) -> int:
        return sum(
            tensor.nbytes
            for module in self.modules
            for part in module.modules()
            for tensor in originals_of(part).values()
        )

    def free_memory(self) -> int | None:
        return self.size - self.used()

    def total_memory(self) -> int | None:
        return self.size

    def copy_stream(self) -> LateCopyStream | SyncCopy:
        return LateCopyStream(self.log) if self._late else SyncCopy()

    def pin(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        if all(tensor.untyped_storage()._cdata in self._pinned for tensor in tensors):
            return list(tensors)
        copies = empty_packed(tensors)
        self._pinned.add(copies[0].untyped_storage()._cdata)
        self.pinned += 1
        for copy, tensor in zip(copies, tensors, strict=True):
            copy.copy_(tensor)
        return copies

    def reclaim(self) -> None:
        self.log.append("reclaim")

"""A graphics card on paper: cpu:0, which torch holds for another device than cpu, with a memory of so many bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from acestep_xl.host.offload.accelerator import SyncCopy, aligned, cut

DEVICE = torch.device("cpu", 0)


class LateLane:
    """A lane as slow as can be: a copy arrives when it is waited for, and what was released is overwritten at once.

    Whoever reads weights before they arrived, or after they were given back, reads NaN.
    """

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self._under_way: list[list[tuple[Tensor, Tensor]]] = []

    def send(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> Any:
        for target, source in pairs:
            target.fill_(float("nan"))
            assert source.device == torch.device("cpu")
        self._under_way.append(list(pairs))
        self.log.append("send")
        return self._under_way[-1]

    def arrive(self, ticket: Any) -> None:
        while self._under_way:  # a stream is in order: what was sent before has arrived too
            first = self._under_way.pop(0)
            for target, source in first:
                target.copy_(source)
            if first is ticket:
                break
        self.log.append("arrive")

    def release(self) -> None:
        self.log.append("release")

    def close(self) -> None:
        self.log.append("close")


class PaperCard:
    """An `Accelerator` whose free memory is its size less the weights that lie on it."""

    def __init__(self, size: int = 2**40, late: bool = False) -> None:
        self.device = DEVICE
        self.size = size
        self.modules: list[nn.Module] = []
        self.log: list[str] = []
        self.pinned = 0
        self._late = late
        self._pinned: set[int] = set()

    def used(self) -> int:
        return sum(sum(map(_size, home(part).values())) for module in self.modules for part in module.modules())

    def free(self) -> int | None:
        return self.size - self.used()

    def total(self) -> int | None:
        return self.size

    def lane(self) -> LateLane | SyncCopy:
        return LateLane(self.log) if self._late else SyncCopy()

    def pin(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        if all(tensor.untyped_storage()._cdata in self._pinned for tensor in tensors):
            return list(tensors)
        copies = cut(torch.empty(sum(map(aligned, tensors)), dtype=torch.uint8), tensors)
        self._pinned.add(copies[0].untyped_storage()._cdata)
        self.pinned += 1
        for copy, tensor in zip(copies, tensors, strict=True):
            copy.copy_(tensor)
        return copies

    def reclaim(self) -> None:
        self.log.append("reclaim")


def home(part: nn.Module) -> dict[str, Tensor]:
    """What of a module has a copy on the card."""
    return part.__dict__.get("_acestep_xl_home", {})


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()

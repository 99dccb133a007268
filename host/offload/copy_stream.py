"""Copies from main memory to a device, ordered against the computation there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor


class CopyStream(Protocol):
    """Copies that may overlap with computation."""

    def copy(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> Any:
        """Start copying (target, source) pairs once the last recorded use is over. Returns an event for `wait`."""
        ...

    def wait(self, event: Any) -> None:
        """Have later computation wait for the copies of an event."""
        ...

    def record_use(self) -> None:
        """Have later copies wait for the computation queued so far, which may still read their targets."""
        ...

    def close(self) -> None:
        """Have later computation wait for all copies, so that it may reuse the targets' memory."""
        ...


class SyncCopy:
    """Copies at once, for devices without streams."""

    def copy(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> Any:
        for target, source in pairs:
            target.copy_(source)

    def wait(self, event: Any) -> None:
        pass

    def record_use(self) -> None:
        pass

    def close(self) -> None:
        pass


class CudaCopyStream:
    """Copies on a CUDA stream of its own; never blocks the CPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self.record_use()

    def copy(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> Any:
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(self._last_use)
            for target, source in pairs:
                target.copy_(source, non_blocking=True)
            return self._stream.record_event()

    def wait(self, event: Any) -> None:
        torch.cuda.current_stream(self._device).wait_event(event)

    def record_use(self) -> None:
        self._last_use = torch.cuda.current_stream(self._device).record_event()

    def close(self) -> None:
        torch.cuda.current_stream(self._device).wait_stream(self._stream)

"""Streaming of layers to the device: the next ones are copied while one computes."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .buffer import aligned_size, split_buffer
from .copy_stream import CopyStream
from .hooks import OFFLOADED_PARAMETERS

HISTORY = 2  # successors remembered per layer


@dataclass
class _Transfer:
    """One layer's copy. start, end: its bytes in the buffer; event: the stream's."""

    layer: nn.Module
    start: int
    end: int
    copies: dict[str, Tensor]
    event: Any


class WeightPrefetcher:
    """Copies layers through a ring buffer of fixed size on the device.

    The next layer is predicted to be the one that followed two visits ago: right when every pass of a network is the
    same, and when two kinds of passes alternate, such as a conditional and an unconditional half. A misprediction
    costs one synchronous copy.
    """

    def __init__(
        self, layers: Sequence[nn.Module], buffer_bytes: int, device: torch.device, stream: CopyStream
    ) -> None:
        """layers: those that may be fetched; the buffer grows to hold the largest."""
        largest = max((_aligned_bytes(layer) for layer in layers), default=0)
        self._buffer = torch.empty(max(buffer_bytes, largest), dtype=torch.uint8, device=device)
        self._stream = stream
        self._prefetched: deque[_Transfer] = deque()  # started and not yet fetched, in order
        self._in_use: list[_Transfer] = []
        self._successors: dict[nn.Module, deque[nn.Module]] = defaultdict(lambda: deque(maxlen=HISTORY))
        self._last: nn.Module | None = None

    def fetch(self, layer: nn.Module) -> tuple[dict[str, Tensor], Callable[[], None]]:
        """A `hooks.Fetch`."""
        if self._last is not None:
            self._successors[self._last].append(layer)
        self._last = layer
        while self._prefetched and self._prefetched[0].layer is not layer:
            self._prefetched.popleft()
        transfer = self._prefetched.popleft() if self._prefetched else self._start(layer)
        if transfer is None:
            raise RuntimeError("two offloaded layers ran at the same time; the prefetch buffer has no room for both")
        self._in_use.append(transfer)
        self._stream.wait(transfer.event)
        self._prefetch()

        def after_use() -> None:
            self._in_use.remove(transfer)
            self._stream.record_use()
            self._prefetch()

        return transfer.copies, after_use

    def close(self) -> None:
        """Free the buffer."""
        self._stream.close()
        self._prefetched.clear()
        self._in_use.clear()
        self._buffer = self._buffer.new_empty(0)

    def _prefetch(self) -> None:
        """Start copying the layers predicted next, as far as there is room."""
        layer = self._prefetched[-1].layer if self._prefetched else self._last
        while layer is not None and (successors := self._successors.get(layer)):
            transfer = self._start(successors[0])
            if transfer is None:
                return
            self._prefetched.append(transfer)
            layer = transfer.layer

    def _start(self, layer: nn.Module) -> _Transfer | None:
        """Start copying a layer; None where the buffer has no room."""
        size = _aligned_bytes(layer)
        start = self._allocate(size)
        if start is None:
            return None
        parameters = {name: layer._parameters.get(name) for name in OFFLOADED_PARAMETERS}
        sources = {name: parameter.data for name, parameter in parameters.items() if parameter is not None}
        targets = split_buffer(self._buffer[start : start + size], list(sources.values()))
        event = self._stream.copy(list(zip(targets, sources.values(), strict=True)))
        return _Transfer(layer, start, start + size, dict(zip(sources, targets, strict=True)), event)

    def _allocate(self, size: int) -> int | None:
        """Offset of ``size`` free bytes behind the newest transfer and before the oldest, wrapping at the end."""
        transfers = [*self._in_use, *self._prefetched]
        if not transfers:
            return 0 if size <= len(self._buffer) else None
        oldest, newest = transfers[0], transfers[-1]
        if newest.start < oldest.start:
            return newest.end if newest.end + size <= oldest.start else None
        if newest.end + size <= len(self._buffer):
            return newest.end
        return 0 if size <= oldest.start else None


def _aligned_bytes(layer: nn.Module) -> int:
    return sum(aligned_size(parameter) for parameter in layer._parameters.values() if parameter is not None)

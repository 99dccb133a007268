"""Layers that come to the device one after the other, the next ones while one computes."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .accelerator import CopyStream, aligned, cut
from .hooks import CARRIED

HISTORY = 2  # visits of a layer whose followers are remembered


@dataclass
class _Load:
    """One layer's copy. start, end: its place in the window; ticket: the lane's."""

    layer: nn.Module
    start: int
    end: int
    copies: dict[str, Tensor]
    ticket: Any


class WeightPrefetcher:
    """Brings layers through a window of fixed size on the device.

    Which layer comes next is what followed two visits ago: that is right when every pass of a network is the same and
    when two kinds of passes alternate, as with a conditional and an unconditional half. A wrong guess costs a journey.
    """

    def __init__(self, layers: Sequence[nn.Module], window: int, device: torch.device, lane: CopyStream) -> None:
        """window: bytes. layers: those that may be asked for; the largest must fit into the window."""
        needed = max((_size(layer) for layer in layers), default=0)
        self._window = torch.empty(max(window, needed), dtype=torch.uint8, device=device)
        self._lane = lane
        self._ready: deque[_Load] = deque()  # sent and not yet asked for, in order
        self._used: list[_Load] = []
        self._followers: dict[nn.Module, deque[nn.Module]] = defaultdict(lambda: deque(maxlen=HISTORY))
        self._last: nn.Module | None = None

    def fetch(self, layer: nn.Module) -> tuple[dict[str, Tensor], Callable[[], None]]:
        """A `streaming.Fetch`."""
        if self._last is not None:
            self._followers[self._last].append(layer)
        self._last = layer
        while self._ready and self._ready[0].layer is not layer:
            self._ready.popleft()
        load = self._ready.popleft() if self._ready else self._send(layer)
        if load is None:
            raise RuntimeError("two layers that are away ran at the same time, which the window has no room for")
        self._used.append(load)
        self._lane.arrive(load.ticket)
        self._look_ahead()

        def finish() -> None:
            self._used.remove(load)
            self._lane.release()
            self._look_ahead()

        return load.copies, finish

    def close(self) -> None:
        """Give the window back."""
        self._lane.close()
        self._ready.clear()
        self._used.clear()
        self._window = self._window.new_empty(0)

    def _look_ahead(self) -> None:
        """Send what will be asked for next, as far as there is room."""
        at = self._ready[-1].layer if self._ready else self._last
        while at is not None and (followers := self._followers.get(at)):
            load = self._send(followers[0])
            if load is None:
                return
            self._ready.append(load)
            at = load.layer

    def _send(self, layer: nn.Module) -> _Load | None:
        start, size = self._place(_size(layer)), _size(layer)
        if start is None:
            return None
        carried = {name: layer._parameters[name] for name in CARRIED if layer._parameters.get(name) is not None}
        sources = [parameter.data for parameter in carried.values() if parameter is not None]
        targets = cut(self._window[start : start + size], sources)
        ticket = self._lane.send(list(zip(targets, sources, strict=True)))
        return _Load(layer, start, start + size, dict(zip(carried, targets, strict=True)), ticket)

    def _place(self, size: int) -> int | None:
        """Where so many bytes are free, behind the newest load and before the oldest one, round the window's end."""
        loads = [*self._used, *self._ready]
        if not loads:
            return 0 if size <= len(self._window) else None
        oldest, newest = loads[0], loads[-1]
        if newest.start < oldest.start:
            return newest.end if newest.end + size <= oldest.start else None
        if newest.end + size <= len(self._window):
            return newest.end
        return 0 if size <= oldest.start else None


def _size(layer: nn.Module) -> int:
    return sum(aligned(parameter) for parameter in layer._parameters.values() if parameter is not None)

"""Weights on a device and at home: what lies where, in whole or in part, and who leaves first."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from . import hooks
from .accelerator import RESERVE, Accelerator, MemoryInfo
from .placement import Block, Choice, blocks_of, choose, shape_of, size_of
from .prefetch import WeightPrefetcher

_HOME = "_acestep_xl_home"


class OffloadManager:
    """The memory of one accelerator, shared by networks that take turns.

    A network's weights have a home in main memory, which they keep: what lies on the device is a copy, so that leaving
    costs nothing. Weights of a mapped file stay mapped; only what is streamed moves, once, to page-locked memory.
    """

    def __init__(self, machine: Accelerator, smallest: int = hooks.SMALLEST) -> None:
        """smallest: bytes; smaller layers are never away."""
        self._machine = machine
        self._smallest = smallest
        self._recent: list[weakref.ref[nn.Module]] = []  # least recently used first
        self._held: list[nn.Module] = []  # the modules of the blocks open now

    @contextmanager
    def hold(self, modules: Sequence[nn.Module], memory: int) -> Iterator[None]:
        """Make modules ready to run, beside so many bytes of work, for the block."""
        held_before, held = len(self._held), set(map(id, self._held))
        new = [module for module in modules if id(module) not in held]
        belts: list[WeightPrefetcher] = []
        try:
            self._make_room([*modules, *self._held], sum(map(self._missing, new)) + memory)
            self._remember(modules)
            for module in new:
                belts += self._settle(module, memory)
            self._held += modules
            yield
        finally:
            del self._held[held_before:]
            for module in new:
                hooks.release(module)
            for belt in belts:
                belt.close()

    def rest(self, module: nn.Module) -> None:
        """Send a module home, unless it is held."""
        if id(module) not in set(map(id, self._held)):
            send_home(module)

    def memory_info(self) -> MemoryInfo | None:
        """What there would be without our own weights; None where the device does not tell."""
        free, total = self._machine.free(), self._machine.total()
        if free is None or total is None:
            return None
        return MemoryInfo(free + sum(self._present(module) for module in self._alive()), total)

    def reclaim(self) -> None:
        """After work ran out of memory: everything that nobody holds goes home, and caches are given back."""
        held = set(map(id, self._held))
        for module in self._alive():
            if id(module) not in held:
                send_home(module)
        self._machine.reclaim()

    def _settle(self, module: nn.Module, memory: int) -> list[WeightPrefetcher]:
        """Place a module by what is free; returns the belt that brings what is away, if anything is."""
        blocks, device = blocks_of(module, self._smallest), self._machine.device
        free = self._machine.free()
        shape = shape_of(module, blocks)
        budget = shape.total if free is None else free + self._present(module) - memory - RESERVE
        away = left_out(blocks, choice := choose(shape, budget))
        for block in away:
            self._stay_home(block)
        layers = [layer for block in away for layer in block.layers]
        bring(module, layers, device)
        if not layers:
            return []
        belt = WeightPrefetcher(layers, choice.window, device, self._machine.lane())
        hooks.hook(layers, device, belt.fetch)
        return [belt]

    def _stay_home(self, block: Block) -> None:
        """Take a block off the device, and its weights, once, to where they travel fast from."""
        for layer in block.layers:
            send_home(layer)
        places = [(layer, name) for layer in block.layers for name, _ in _own(layer) if name in hooks.CARRIED]
        tensors = [layer.get_parameter(name).data for layer, name in places]
        for (layer, name), tensor, pinned in zip(places, tensors, self._machine.pin(tensors), strict=True):
            if pinned is not tensor:
                _put(layer, name, nn.Parameter(pinned, requires_grad=False))

    def _make_room(self, keep: Sequence[nn.Module], needed: int) -> None:
        """Send the least recently used modules home until `needed` bytes fit, or none is left."""
        kept = set(map(id, keep))
        for module in self._alive():
            free = self._machine.free()
            if free is not None and needed + RESERVE <= free:
                return
            if id(module) not in kept:
                send_home(module)

    def _alive(self) -> list[nn.Module]:
        return [module for reference in self._recent if (module := reference()) is not None]

    def _remember(self, modules: Sequence[nn.Module]) -> None:
        new = set(map(id, modules))
        others = [module for module in self._alive() if id(module) not in new]
        self._recent = [weakref.ref(module) for module in [*others, *modules]]

    def _present(self, module: nn.Module) -> int:
        return sum(_size(tensor) for part in module.modules() for name, tensor in _own(part) if name in _home(part))

    def _missing(self, module: nn.Module) -> int:
        return size_of(module) - self._present(module)


def left_out(blocks: Sequence[Block], choice: Choice) -> list[Block]:
    """The blocks that a choice leaves in main memory."""
    once, again = ([block for block in blocks if block.again is kind] for kind in (False, True))
    stay = {id(once[i]) for i in choice.once} | {id(again[i]) for i in choice.again}
    return [block for block in blocks if id(block) not in stay]


def bring(module: nn.Module, away: Sequence[nn.Module], device: torch.device) -> None:
    """Copy everything but the layers that are away to the device; what was copied keeps its home."""
    stays = set(map(id, away))
    for part in module.modules():
        for name, tensor in _own(part):
            there = name in _home(part) and tensor.device.type == device.type
            if there or (id(part) in stays and name in hooks.CARRIED):
                continue
            part.__dict__.setdefault(_HOME, {})[name] = tensor
            copy = tensor.detach().to(device)
            _put(part, name, nn.Parameter(copy, requires_grad=False) if name in part._parameters else copy)


def send_home(module: nn.Module) -> None:
    """Take the copies of a module's weights off the device."""
    for part in module.modules():
        for name, tensor in part.__dict__.pop(_HOME, {}).items():
            _put(part, name, tensor)


def _own(part: nn.Module) -> list[tuple[str, Tensor]]:
    tensors = {**part._parameters, **part._buffers}
    return [(name, tensor) for name, tensor in tensors.items() if tensor is not None]


def _home(part: nn.Module) -> dict[str, Tensor]:
    """What of a module has a copy on the device, as it is at home."""
    return part.__dict__.get(_HOME, {})


def _put(part: nn.Module, name: str, tensor: Tensor) -> None:
    table: dict[str, Any] = part._parameters if name in part._parameters else part._buffers
    table[name] = tensor


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()

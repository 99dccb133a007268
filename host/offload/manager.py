"""What lies on one accelerator: networks loaded whole or in part, and which are offloaded first."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn

from . import hooks, weights
from .accelerator import RESERVE, Accelerator, MemoryInfo
from .placement import Block, blocks_of, choose_placement, measure_network, offloaded_blocks, size_of
from .prefetch import WeightPrefetcher


class OffloadManager:
    """The memory of one accelerator, shared by networks that run in turn.

    A network's weights stay in main memory and the device holds copies, so offloading copies nothing. Weights of a
    memory-mapped file stay mapped; only streamed ones are moved, once, to page-locked memory.
    """

    def __init__(self, accelerator: Accelerator, min_bytes: int = hooks.MIN_BYTES) -> None:
        """min_bytes: layers with fewer bytes of weights are never offloaded from a running network."""
        self._accelerator = accelerator
        self._min_bytes = min_bytes
        self._recent: list[weakref.ref[nn.Module]] = []  # least recently used first
        self._active: list[nn.Module] = []  # the modules of all open `hold` blocks

    @contextmanager
    def hold(self, modules: Sequence[nn.Module], memory: int) -> Iterator[None]:
        """Make modules ready to run inside the block, with ``memory`` bytes left for their work."""
        active_before, active = len(self._active), set(map(id, self._active))
        new = [module for module in modules if id(module) not in active]
        prefetchers: list[WeightPrefetcher] = []
        try:
            missing = sum(size_of(module) - weights.loaded_bytes(module) for module in new)
            self._make_room([*modules, *self._active], missing + memory)
            self._mark_used(modules)
            for module in new:
                prefetchers += self._load(module, memory)
            self._active += modules
            yield
        finally:
            del self._active[active_before:]
            for module in new:
                hooks.detach_hooks(module)
            for prefetcher in prefetchers:
                prefetcher.close()

    def offload(self, module: nn.Module) -> None:
        """Drop a module's copies on the device, unless a block holds it."""
        if id(module) not in set(map(id, self._active)):
            weights.offload(module)

    def memory_info(self) -> MemoryInfo | None:
        """The memory as if none of our weights were loaded; None where the device does not report it."""
        free, total = self._accelerator.free_memory(), self._accelerator.total_memory()
        if free is None or total is None:
            return None
        return MemoryInfo(free + sum(weights.loaded_bytes(module) for module in self._alive()), total)

    def reclaim(self) -> None:
        """After an out-of-memory error: offload everything that no block holds and empty caches."""
        for module in self._alive():
            self.offload(module)
        self._accelerator.reclaim()

    def _load(self, module: nn.Module, memory: int) -> list[WeightPrefetcher]:
        """Load what fits beside the work and stream the rest. Returns the rest's prefetcher, if there is a rest."""
        blocks, device = blocks_of(module, self._min_bytes), self._accelerator.device
        free = self._accelerator.free_memory()
        sizes = measure_network(module, blocks)
        budget = sizes.total if free is None else free + weights.loaded_bytes(module) - memory - RESERVE
        placement = choose_placement(sizes, budget)
        offloaded = offloaded_blocks(blocks, placement)
        for block in offloaded:
            self._offload_pinned(block)
        layers = [layer for block in offloaded for layer in block.layers]
        weights.load(module, layers, device)
        if not layers:
            return []
        prefetcher = WeightPrefetcher(layers, placement.buffer, device, self._accelerator.copy_stream())
        hooks.attach_hooks(layers, device, prefetcher.fetch)
        return [prefetcher]

    def _offload_pinned(self, block: Block) -> None:
        """Offload a block and, the first time, move its weights to page-locked memory."""
        for layer in block.layers:
            weights.offload(layer)
        keys = [
            (layer, name)
            for layer in block.layers
            for name, _ in weights.tensors_of(layer)
            if name in hooks.OFFLOADED_PARAMETERS
        ]
        tensors = [layer.get_parameter(name).data for layer, name in keys]
        for (layer, name), tensor, pinned in zip(keys, tensors, self._accelerator.pin(tensors), strict=True):
            if pinned is not tensor:
                weights.set_tensor(layer, name, nn.Parameter(pinned, requires_grad=False))

    def _make_room(self, keep: Sequence[nn.Module], needed: int) -> None:
        """Offload the least recently used modules until `needed` bytes are free, or none is left to offload."""
        excluded = set(map(id, keep))
        for module in self._alive():
            free = self._accelerator.free_memory()
            if free is not None and needed + RESERVE <= free:
                return
            if id(module) not in excluded:
                weights.offload(module)

    def _alive(self) -> list[nn.Module]:
        return [module for reference in self._recent if (module := reference()) is not None]

    def _mark_used(self, modules: Sequence[nn.Module]) -> None:
        used = set(map(id, modules))
        others = [module for module in self._alive() if id(module) not in used]
        self._recent = [weakref.ref(module) for module in [*others, *modules]]

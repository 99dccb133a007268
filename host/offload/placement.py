"""Which weights of a network lie on the device and which are streamed block by block: arithmetic on sizes.

A run and its forecast, on modules of the meta device, use the same functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from .hooks import OFFLOADED_PARAMETERS, offloadable_layers


@dataclass(frozen=True)
class Block:
    """Large layers that are loaded or offloaded together. every_step: run at every denoising step, not once a run.
    size: of what is offloaded, so without their buffers, such as scales."""

    layers: tuple[nn.Module, ...]
    every_step: bool

    @property
    def size(self) -> int:
        return sum(_offloaded_size(layer) for layer in self.layers)


@dataclass(frozen=True)
class NetworkSizes:
    """Bytes of a network. fixed: what is never offloaded. per_run, per_step: its blocks that run once a run or at
    every step. largest: the largest layer that may be offloaded."""

    fixed: int
    per_run: tuple[int, ...]
    per_step: tuple[int, ...]
    largest: int

    @property
    def total(self) -> int:
        return self.fixed + sum(self.per_run) + sum(self.per_step)

    @property
    def buffer(self) -> int:
        """The prefetch buffer: one layer is read while the next ones are copied."""
        return min(max(2 * self.largest, *self.per_step, 0), sum(self.per_run) + sum(self.per_step))


@dataclass(frozen=True)
class Placement:
    """per_run, per_step: indices of the blocks of either kind on the device. resident: bytes of weights there; buffer:
    bytes of the prefetch buffer for the other blocks, 0 if there are none."""

    per_run: tuple[int, ...]
    per_step: tuple[int, ...]
    resident: int
    buffer: int


def size_of(module: nn.Module) -> int:
    """Bytes of the weights and buffers."""
    return sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))


def blocks_of(network: nn.Module, min_bytes: int) -> list[Block]:
    """The blocks of a network, in order.

    Members of the largest module list run at every step. Members of the others, encoders among them, and large layers
    outside all lists run once a run.
    """
    lists = [part for part in network.modules() if isinstance(part, nn.ModuleList)]
    main = max(lists, key=size_of, default=None)
    seen: set[int] = set()
    blocks: list[Block] = []
    for part in lists:
        for member in part:
            layers = tuple(layer for layer in offloadable_layers(member, min_bytes) if id(layer) not in seen)
            seen.update(map(id, layers))
            blocks += [Block(layers, part is main)] if layers else []
    loose = [layer for layer in offloadable_layers(network, min_bytes) if id(layer) not in seen]
    return [*(Block((layer,), False) for layer in loose), *blocks]


def measure_network(network: nn.Module, blocks: Sequence[Block]) -> NetworkSizes:
    """The sizes of a network with these blocks."""
    per_run, per_step = (tuple(block.size for block in group) for group in _by_frequency(blocks))
    largest = max((_offloaded_size(layer) for block in blocks for layer in block.layers), default=0)
    return NetworkSizes(size_of(network) - sum(per_run) - sum(per_step), per_run, per_step, largest)


def choose_placement(sizes: NetworkSizes, budget: int) -> Placement:
    """What to load within a budget of bytes for weights and prefetch buffer.

    Blocks that run once a run are offloaded first, since each costs only one copy a run; then as few of the others as
    possible, evenly spread so that each is copied while its neighbours compute. If the budget is too small, everything
    that can be is offloaded.
    """
    per_run, per_step = (tuple(range(len(group))) for group in (sizes.per_run, sizes.per_step))
    if sizes.total <= budget or not (per_run or per_step):
        return Placement(per_run, per_step, sizes.total, 0)
    room = budget - sizes.fixed - sizes.buffer
    count = max((n for n in range(len(per_step) + 1) if _spread_size(sizes.per_step, n) <= room), default=0)
    resident = _spread_size(sizes.per_step, count)
    per_run = _smallest_first(sizes.per_run, room - resident) if count == len(per_step) else ()
    resident += sum(sizes.per_run[i] for i in per_run)
    return Placement(per_run, spread_evenly(count, len(per_step)), sizes.fixed + resident, sizes.buffer)


def offloaded_blocks(blocks: Sequence[Block], placement: Placement) -> list[Block]:
    """The blocks that a placement leaves in main memory."""
    per_run, per_step = _by_frequency(blocks)
    loaded = {id(per_run[i]) for i in placement.per_run} | {id(per_step[i]) for i in placement.per_step}
    return [block for block in blocks if id(block) not in loaded]


def spread_evenly(count: int, total: int) -> tuple[int, ...]:
    """``count`` of ``total`` indices, so that the omitted ones are as far apart as possible."""
    omitted = total - count
    return tuple(i for i in range(total) if (i + 1) * omitted // total == i * omitted // total)


def _offloaded_size(layer: nn.Module) -> int:
    parameters = layer.named_parameters(recurse=False)
    return sum(parameter.nbytes for name, parameter in parameters if name in OFFLOADED_PARAMETERS)


def _spread_size(sizes: Sequence[int], count: int) -> int:
    return sum(sizes[i] for i in spread_evenly(count, len(sizes)))


def _smallest_first(sizes: Sequence[int], room: int) -> tuple[int, ...]:
    """Indices of the sizes that fit into ``room``, smaller ones first."""
    indices: list[int] = []
    for i in sorted(range(len(sizes)), key=sizes.__getitem__):
        if sizes[i] <= room:
            indices.append(i)
            room -= sizes[i]
    return tuple(sorted(indices))


def _by_frequency(blocks: Sequence[Block]) -> tuple[list[Block], list[Block]]:
    """Those that run once a run, and those that run at every step."""
    return [block for block in blocks if not block.every_step], [block for block in blocks if block.every_step]

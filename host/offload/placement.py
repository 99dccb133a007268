"""Which weights of a network lie on the device, and which come to it block by block: arithmetic on sizes.

The same functions decide inside a run and foretell it, on modules of the meta device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from .hooks import streamable


@dataclass(frozen=True)
class Block:
    """Large layers that stay or leave together. again: whether the block runs at every step, not once in a run."""

    layers: tuple[nn.Module, ...]
    again: bool

    @property
    def size(self) -> int:
        return sum(size_of(layer) for layer in self.layers)


@dataclass(frozen=True)
class Shape:
    """A network as the choice sees it, in bytes. fixed: what is never away. once, again: its blocks of either kind.
    largest: the largest layer that may be away."""

    fixed: int
    once: tuple[int, ...]
    again: tuple[int, ...]
    largest: int

    @property
    def total(self) -> int:
        return self.fixed + sum(self.once) + sum(self.again)

    @property
    def window(self) -> int:
        """Room for layers under way: one is read while others arrive."""
        return min(max(2 * self.largest, *self.again, 0), sum(self.once) + sum(self.again))


@dataclass(frozen=True)
class Choice:
    """once, again: the blocks of either kind that stay. resident: bytes of weights on the device; window: bytes
    beside them through which the others come, 0 where nothing is away."""

    once: tuple[int, ...]
    again: tuple[int, ...]
    resident: int
    window: int


def size_of(module: nn.Module) -> int:
    """Bytes of the weights and buffers."""
    return sum(t.numel() * t.element_size() for t in (*module.parameters(), *module.buffers()))


def blocks_of(network: nn.Module, smallest: int) -> list[Block]:
    """The blocks of a network, in order.

    The members of the list that holds most are what runs at every step; the others, encoders among them, and large
    layers outside of all lists run once in a run.
    """
    lists = [part for part in network.modules() if isinstance(part, nn.ModuleList)]
    main = max(lists, key=size_of, default=None)
    seen: set[int] = set()
    blocks: list[Block] = []
    for part in lists:
        for member in part:
            layers = tuple(layer for layer in streamable(member, smallest) if id(layer) not in seen)
            seen.update(map(id, layers))
            blocks += [Block(layers, part is main)] if layers else []
    loose = [layer for layer in streamable(network, smallest) if id(layer) not in seen]
    return [*(Block((layer,), False) for layer in loose), *blocks]


def shape_of(network: nn.Module, blocks: Sequence[Block]) -> Shape:
    """The sizes of a network with these blocks."""
    once, again = (tuple(block.size for block in blocks if block.again is kind) for kind in (False, True))
    largest = max((size_of(layer) for block in blocks for layer in block.layers), default=0)
    return Shape(size_of(network) - sum(once) - sum(again), once, again, largest)


def choose(shape: Shape, budget: int) -> Choice:
    """What stays within a budget of bytes for weights and window.

    What runs once leaves first, for it costs one journey in a run; then as few of the others as will do, spread
    evenly, so that each comes while its neighbours compute. With too small a budget everything that can be is away.
    """
    everything = Choice(tuple(range(len(shape.once))), tuple(range(len(shape.again))), shape.total, 0)
    if shape.total <= budget or not (shape.once or shape.again):
        return everything
    left = budget - shape.fixed - shape.window
    count = max(
        (n for n in range(len(shape.again) + 1) if sum(shape.again[i] for i in spread(n, len(shape.again))) <= left),
        default=0,
    )
    again = spread(count, len(shape.again))
    resident = sum(shape.again[i] for i in again)
    once: list[int] = []
    if count == len(shape.again):
        for i in sorted(range(len(shape.once)), key=shape.once.__getitem__):
            if resident + shape.once[i] <= left:
                once.append(i)
                resident += shape.once[i]
    return Choice(tuple(sorted(once)), again, shape.fixed + resident, shape.window)


def spread(count: int, total: int) -> tuple[int, ...]:
    """``count`` of ``total`` places, so that the ones left out lie as far apart as they can."""
    away = total - count
    return tuple(i for i in range(total) if (i + 1) * away // total == i * away // total)

"""How an update acts on a linear layer whose weight stays as it is.

A form sees what goes into the layer and what comes out of it: ``after(layer(before(x, s)), x, s)``. It never needs the
weight, so the layer may hold 8-bit numbers or lie in main memory. Strengths ``s`` are tensors ``[]``, so that a new one
costs neither a new form nor a new compilation. At 0 every form returns what the layer alone returns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Form(nn.Module):
    """Does nothing. reads_output: whether `after` has to know the layer's bias, which no update of a weight touches."""

    reads_output = False

    def before(self, x: Tensor, strength: Tensor) -> Tensor:
        """The layer's input ``[... k]``, from that of the adapted layer."""
        return x

    def after(self, y: Tensor, x: Tensor, strength: Tensor, bias: Tensor | None = None) -> Tensor:
        """The adapted layer's output ``[... n]``, from the layer's and from the adapted layer's input."""
        return y

    def share(self) -> Form:
        """Another form over the same tensors, whose places in the module are its own."""
        copy = type(self).__new__(type(self))
        nn.Module.__init__(copy)
        for name, buffer in self._buffers.items():
            copy.register_buffer(name, buffer)
        for name, child in self._modules.items():
            copy.register_module(name, child.share() if isinstance(child, Form) else None)
        return copy


class Term(Form, ABC):
    """An addend: ``y + s * product(x)``."""

    @abstractmethod
    def product(self, x: Tensor) -> Tensor:
        """The update's matrix times x: ``[... k]`` to ``[... n]``."""

    def after(self, y: Tensor, x: Tensor, strength: Tensor, bias: Tensor | None = None) -> Tensor:
        return y + strength * self.product(x)


class LowRank(Term):
    """``up.T @ down``. down: ``[r k]``; up: ``[r n]``, which CPUs multiply faster than ``[n r]``; scale: ``[]``."""

    down: Tensor
    up: Tensor
    scale: Tensor

    def __init__(self, down: Tensor, up: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("down", down)
        self.register_buffer("up", up)
        self.register_buffer("scale", scale)

    def product(self, x: Tensor) -> Tensor:
        return (F.linear(x, self.down) * self.scale) @ self.up

    def after(self, y: Tensor, x: Tensor, strength: Tensor, bias: Tensor | None = None) -> Tensor:
        # One kernel multiplies and adds in place, to an output that the layer has just made; scaling the narrow side
        # costs nothing.
        h = F.linear(x, self.down) * (strength * self.scale)
        return y.flatten(0, -2).addmm_(h.flatten(0, -2), self.up).view_as(y)


class Kronecker(Term):
    """``kron(w1, w2)``, which is never built. w1: ``[a b]``; w2: ``[c d]``; scale: ``[]`` float32."""

    w1: Tensor
    w2: Tensor
    scale: Tensor

    def __init__(self, w1: Tensor, w2: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("w1", w1)
        self.register_buffer("w2", w2)
        self.register_buffer("scale", scale)

    def product(self, x: Tensor) -> Tensor:
        blocks = x.unflatten(-1, (self.w1.shape[1], self.w2.shape[1]))
        inner = F.linear(blocks, self.w2) * self.scale  # [... b c]
        return (self.w1 @ inner).flatten(-2)


class Dense(Term):
    """A full matrix ``[n k]``."""

    matrix: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix)

    def product(self, x: Tensor) -> Tensor:
        return F.linear(x, self.matrix)


class OutputForm(Form, ABC):
    """An addend that depends on what the weight alone makes of x, ``y - bias``."""

    reads_output = True

    @abstractmethod
    def added(self, y: Tensor, x: Tensor, strength: Tensor) -> Tensor:
        """What is added to the output ``[... n]``. y: without bias."""

    def after(self, y: Tensor, x: Tensor, strength: Tensor, bias: Tensor | None = None) -> Tensor:
        return y + self.added(y if bias is None else y - bias, x, strength)


class Replacement(Form):
    """Another weight ``[n k]`` in place of the layer's, at any strength but 0."""

    reads_output = True

    weight: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)

    def after(self, y: Tensor, x: Tensor, strength: Tensor, bias: Tensor | None = None) -> Tensor:
        return torch.where(strength == 0, y, F.linear(x, self.weight, bias))


class OutputGain(OutputForm):
    """``y + s (gain * y + (1 + gain) * term(x))``. gain: ``[n]``, what is added to a factor of 1."""

    gain: Tensor
    term: Term | None

    def __init__(self, gain: Tensor, term: Term | None = None) -> None:
        super().__init__()
        self.register_buffer("gain", gain)
        self.register_module("term", term)

    def added(self, y: Tensor, x: Tensor, strength: Tensor) -> Tensor:
        scaled = y * (strength * self.gain)
        return scaled if self.term is None else torch.addcmul(scaled, self.term.product(x), strength * (1 + self.gain))


class InputGain(Form):
    """Factors on the columns: the layer sees ``x + s * gain * x``, the term ``(1 + gain) * x``. gain: ``[k]``."""

    gain: Tensor
    term: Term | None

    def __init__(self, gain: Tensor, term: Term | None = None) -> None:
        super().__init__()
        self.register_buffer("gain", gain)
        self.register_module("term", term)

    def before(self, x: Tensor, strength: Tensor) -> Tensor:
        return torch.addcmul(x, x, strength.to(x.dtype) * self.gain)

    def after(self, y: Tensor, x: Tensor, strength: Tensor, bias: Tensor | None = None) -> Tensor:
        return y if self.term is None else y + strength * self.term.product(x + self.gain * x)


class InputLowRank(Form):
    """The layer sees ``x + s * inner(x)``, and ``outer(x)`` is added to its output."""

    inner: LowRank
    outer: LowRank

    def __init__(self, inner: LowRank, outer: LowRank) -> None:
        super().__init__()
        self.inner, self.outer = inner, outer

    def before(self, x: Tensor, strength: Tensor) -> Tensor:
        return x + strength * self.inner.product(x)

    def after(self, y: Tensor, x: Tensor, strength: Tensor, bias: Tensor | None = None) -> Tensor:
        return self.outer.after(y, x, strength)


class OutputBlocks(OutputForm):
    """Blocks ``[n/b b b]`` on the diagonal of a matrix whose product with y is added to y."""

    blocks: Tensor

    def __init__(self, blocks: Tensor) -> None:
        super().__init__()
        self.register_buffer("blocks", blocks)

    def added(self, y: Tensor, x: Tensor, strength: Tensor) -> Tensor:
        return strength * multiply_blocks(self.blocks, y)


class InputBlocks(Form):
    """The same on the input: blocks ``[k/b b b]``."""

    blocks: Tensor

    def __init__(self, blocks: Tensor) -> None:
        super().__init__()
        self.register_buffer("blocks", blocks)

    def before(self, x: Tensor, strength: Tensor) -> Tensor:
        return x + strength * multiply_blocks(self.blocks, x)


class Butterfly(OutputForm):
    """Stages of blocks ``[m n/b b b]``, each between a shuffle and its inverse, then a factor per row.

    What the stages add is summed on its own, so that a small rotation survives a coarse dtype. gain: ``[n]``.
    """

    blocks: Tensor
    gain: Tensor

    def __init__(self, blocks: Tensor, gain: Tensor) -> None:
        super().__init__()
        self.register_buffer("blocks", blocks)
        self.register_buffer("gain", gain)

    def added(self, y: Tensor, x: Tensor, strength: Tensor) -> Tensor:
        added = butterfly(self.blocks, y)
        return strength * (added + self.gain * (y + added))


def multiply_blocks(blocks: Tensor, values: Tensor) -> Tensor:
    """A block-diagonal matrix, blocks ``[m b b]``, times ``[... m*b]``."""
    parts = values.unflatten(-1, (blocks.shape[0], blocks.shape[2]))
    return torch.einsum("mij,...mj->...mi", blocks, parts).flatten(-2)


def butterfly(stages: Tensor, values: Tensor) -> Tensor:
    """What the stages ``[m n/b b b]`` add to values ``[... n]``: the product of all (1 + stage), less 1.

    Stage i joins elements ``2^i b/2`` apart. Source: LyCORIS, lycoris/functional/boft.py.
    """
    added = torch.zeros_like(values)
    for i, blocks in enumerate(stages):
        distance = 2**i * (blocks.shape[1] // 2)
        shuffled = _shuffle(values + added, (2, distance))
        added = added + _shuffle(multiply_blocks(blocks, shuffled), (distance, 2))
    return added


def _shuffle(values: Tensor, grid: tuple[int, int]) -> Tensor:
    """Transpose each run of the last axis, read as a grid."""
    return values.unflatten(-1, (-1, *grid)).transpose(-1, -2).flatten(-3)

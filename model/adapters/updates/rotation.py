"""OFT and its relatives: a weight times an orthogonal matrix of small blocks.

The matrices come from antisymmetric ones by Cayley's formula. Sources: LyCORIS, lycoris/functional/diag_oft.py and
boft.py; PEFT 0.21, peft/tuners/oft/layer.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import forms
from .update import Sides


@dataclass(frozen=True)
class _RowRotation:
    """What the rotations of rows share. blocks: antisymmetric ones; rescale: factors of the rows, ``[out 1]`` or None.

    constraint: the largest norm of all antisymmetric blocks together, over the number of rows; 0 for none.
    """

    blocks: Tensor
    rescale: Tensor | None
    constraint: float
    rank = None
    is_additive = False

    @property
    def is_zero(self) -> bool:
        return not self.blocks.any() and (self.rescale is None or bool((self.rescale == 1).all()))

    def tensors(self) -> list[Tensor]:
        return [self.blocks] if self.rescale is None else [self.blocks, self.rescale]


@dataclass(frozen=True)
class DiagonalOFT(_RowRotation):
    """Rotates the rows block by block. blocks: ``[out/b b b]``."""

    kind = "diag-OFT"

    @property
    def sides(self) -> Sides:
        return Sides(self.blocks.shape[0] * self.blocks.shape[1], None)

    def change(self, weight: Tensor) -> Tensor:
        rows = weight.flatten(1)
        return forms.multiply_blocks(self._added(weight.device), rows.T).T.reshape(weight.shape)

    def form(self, weight: Tensor, dtype: torch.dtype) -> forms.Form:
        return forms.OutputBlocks(self._added(weight.device).to(dtype).contiguous())

    def _added(self, device: torch.device) -> Tensor:
        """The blocks of ``rescale * R - 1``, that transform a column of the weight."""
        rotation = cayley_difference(self.blocks.to(device, torch.float32), self.constraint).mT
        if self.rescale is None:
            return rotation
        factor = self.rescale.to(device, torch.float32).view(*rotation.shape[:2], 1)
        return factor * rotation + (factor - 1) * torch.eye(rotation.shape[-1], device=device)


@dataclass(frozen=True)
class BOFT(_RowRotation):
    """Rotates the rows in stages, each over other pairs of blocks. blocks: ``[m out/b b b]``."""

    kind = "BOFT"

    @property
    def sides(self) -> Sides:
        return Sides(self.blocks.shape[1] * self.blocks.shape[2], None)

    def change(self, weight: Tensor) -> Tensor:
        columns = weight.flatten(1).T
        added = self.form(weight, torch.float32).added(columns, columns, torch.ones((), device=weight.device))
        return added.T.reshape(weight.shape)

    def form(self, weight: Tensor, dtype: torch.dtype) -> forms.OutputForm:
        stages = cayley_difference(self.blocks.to(weight.device, torch.float32), self.constraint)
        gain = torch.zeros(self.sides.rows or 0, device=weight.device)
        if self.rescale is not None:
            gain = self.rescale.to(weight.device, torch.float32).flatten() - 1
        return forms.Butterfly(stages.to(dtype), gain.to(dtype))


@dataclass(frozen=True)
class InputOFT:
    """PEFT's OFT: rotates what goes into the layer. triangles: ``[in/b b(b-1)/2]``, or ``[1 ...]`` if shared.

    terms: of the Neumann series in place of the inverse; None for the inverse.
    """

    triangles: Tensor
    block_size: int
    terms: int | None
    shared: bool = False
    kind = "OFT"
    rank = None
    is_additive = False

    @property
    def sides(self) -> Sides:
        return Sides(None, None if self.shared else self.triangles.shape[0] * self.block_size)

    @property
    def is_zero(self) -> bool:
        return not self.triangles.any()

    def tensors(self) -> list[Tensor]:
        return [self.triangles]

    def change(self, weight: Tensor) -> Tensor:
        rows = weight.flatten(1)
        return forms.multiply_blocks(self._added(rows), rows).view(weight.shape)

    def form(self, weight: Tensor, dtype: torch.dtype) -> forms.Form:
        return forms.InputBlocks(self._added(weight).mT.to(dtype).contiguous())

    def _added(self, rows: Tensor) -> Tensor:
        """The blocks of ``R - 1``, one for each of the input's."""
        added = peft_difference(self.triangles.to(rows.device, torch.float32), self.block_size, self.terms)
        return added.repeat(rows.shape[1] // self.block_size, 1, 1) if self.shared else added


def cayley_difference(blocks: Tensor, constraint: float) -> Tensor:
    """``(1 + Q) / (1 - Q) - 1 = 2 Q / (1 - Q)`` of ``Q = blocks - transposed``, ``[... b b]``, in float32.

    constraint: as LyCORIS stores it; the limit of Q's norm is that times the number of rows.
    """
    q = blocks - blocks.mT
    limit = constraint * blocks.shape[-3] * blocks.shape[-1]
    norm = torch.linalg.vector_norm(q) + 1e-8
    if 0 < limit < float(norm):
        q = q * (limit / norm)
    identity = torch.eye(q.shape[-1], device=q.device)
    return torch.linalg.solve(identity - q, 2 * q, left=False)


def peft_difference(triangles: Tensor, block_size: int, terms: int | None) -> Tensor:
    """``R - 1`` of PEFT's blocks, from the upper triangles of Q row by row: ``[m b b]`` in float32.

    The inverse's is ``(1 - Q) / (1 + Q) - 1``, the series' ``2 Q + 2 Q^2 + ... + Q^(terms - 1)``.
    """
    q = triangles.new_zeros(triangles.shape[0], block_size, block_size)
    row, column = torch.triu_indices(block_size, block_size, offset=1, device=triangles.device)
    q[:, row, column] = triangles
    q = q - q.mT
    if terms is None:
        identity = torch.eye(block_size, device=q.device)
        return torch.linalg.solve(identity + q, -2 * q, left=False)
    # PEFT's series ends at the third power or later, once it has begun.
    last = max(3, terms - 1) if terms > 2 else terms - 1
    total, power = torch.zeros_like(q), q
    for exponent in range(1, last + 1):
        total = total + (1 if exponent == last > 1 else 2) * power
        power = power @ q
    return total

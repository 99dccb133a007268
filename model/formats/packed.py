"""Weights in the packed form in which a file stores them, and how they become numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

Scales = Mapping[str, Tensor]
# Numbers that are unpacked at a time: few launches on a graphics card, and results that stay in the cache of a CPU.
SLAB, CPU_SLAB = 2**24, 2**19
SLAB_BYTES = 18  # of intermediate results per number, at most


class Codec(NamedTuple):
    """name: for users, as "Q8_0". unpack: from packed rows ``[n bytes]`` and their scales to float32 ``[n k]``."""

    name: str
    unpack: Callable[[Tensor, Scales], Tensor]


@dataclass(frozen=True)
class Packed:
    """A packed tensor.

    weight: the rows ``[n *]``, in whatever dtype the file has. scales: what else `Codec.unpack` needs, by name; those
    with two dimensions have a row for each of the weight's, the others serve all rows. shape: of the numbers; where a
    file pads rows or columns, they are cut off.
    """

    codec: Codec
    weight: Tensor
    scales: Scales
    shape: tuple[int, ...]

    def unpack(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The numbers in a dtype, rounded once from float32.

        Few rows at a time, so that the intermediate results stay small.
        """
        rows, columns = _as_matrix(self.shape)
        step = max(1, (CPU_SLAB if self.weight.device.type == "cpu" else SLAB) // columns)
        if rows <= step:
            return self._rows(0, rows).to(dtype).reshape(self.shape)
        result = torch.empty(rows, columns, dtype=dtype, device=self.weight.device)
        for first in range(0, rows, step):
            result[first : first + step] = self._rows(first, min(first + step, rows))
        return result.reshape(self.shape)

    def to(self, device: torch.device) -> Packed:
        """The same on another device."""
        scales = {name: scale.to(device) for name, scale in self.scales.items()}
        return replace(self, weight=self.weight.to(device), scales=scales)

    def cut(self, shape: tuple[int, ...]) -> Packed:
        """Without the padding beyond a shape, of which the rows are dropped at once."""
        rows, _ = _as_matrix(shape)
        scales = {name: scale[:rows] if scale.ndim == 2 else scale for name, scale in self.scales.items()}
        return replace(self, weight=self.weight[:rows], scales=scales, shape=shape)

    def _rows(self, first: int, end: int) -> Tensor:
        scales = {name: scale[first:end] if scale.ndim == 2 else scale for name, scale in self.scales.items()}
        return self.codec.unpack(self.weight[first:end], scales)[:, : self.shape[-1]]


def unpacking_bytes(shape: tuple[int, ...], dtype: torch.dtype) -> int:
    """The most that `Packed.unpack` allocates, its result included."""
    rows, columns = _as_matrix(shape)
    return rows * columns * dtype.itemsize + min(SLAB, rows * columns) * SLAB_BYTES


def _as_matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    columns = shape[-1] if shape else 1
    return torch.Size(shape).numel() // max(columns, 1), columns

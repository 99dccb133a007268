"""The arithmetic of 8-bit and 4-bit weights with scales, as ComfyUI's quantised safetensors hold them.

Formulas: ComfyUI's comfy_quant formats and the package comfy-kitchen, which computes them.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from .ggml_blocks import E2M1_DOUBLED, look_up, shifted_inside
from .packed import Codec, Scales

MXFP8_BLOCK, NVFP4_BLOCK = 32, 16  # numbers that share a scale
MXFP8_PADDING, NVFP4_PADDING = 32, 16  # what rows and columns are filled up to
TILE_ROWS, TILE_COLUMNS = 128, 4  # of block scales


def scaled(name: str) -> Codec:
    """``w * scale``, with one scale or one for each row; without any the numbers as they are."""
    return Codec(name, _scaled)


def rotated(name: str, group: int) -> Codec:
    """``w * scale`` in which each group of columns is multiplied by a regular Hadamard matrix (convrot)."""
    return Codec(name, partial(_rotated, group=group))


def _scaled(rows: Tensor, scales: Scales) -> Tensor:
    return _numbers(rows).mul_(scales["scale"]) if scales else _numbers(rows)


def _numbers(rows: Tensor) -> Tensor:
    """8-bit numbers in new float32 memory."""
    if rows.device.type != "cpu" or rows.dtype == torch.int8:
        return rows.float()
    # A CPU looks fp8 up four times as fast as it converts it.
    table = torch.arange(256, dtype=torch.uint8).view(rows.dtype).float()
    return table.index_select(0, rows.view(torch.uint8).flatten().int()).view(rows.shape)


def _rotated(rows: Tensor, scales: Scales, group: int) -> Tensor:
    """The matrix is a Kronecker power of a symmetric 4 x 4 one, which gives the sum less twice the mirror image."""
    values = _scaled(rows, scales)
    factors = group.bit_length() // 2
    split = values.unflatten(1, (-1, *(4,) * factors))
    for axis in range(2, 2 + factors):
        split = split.sum(axis, keepdim=True) - 2 * split.flip(axis)
    return split.reshape(values.shape) / 2**factors


def _mxfp8(rows: Tensor, scales: Scales) -> Tensor:
    """``w * 2 ** (scale - 127)``, a scale for each 32 columns."""
    exponents = scales["scale"].int()
    bits = torch.where(exponents == 0, 1 << 22, exponents << 23)
    factors = torch.where(exponents == 255, torch.nan, bits.view(torch.float32))
    return _numbers(rows).unflatten(1, (-1, MXFP8_BLOCK)).mul_(factors[:, :, None]).flatten(1)


def _nvfp4(rows: Tensor, scales: Scales) -> Tensor:
    """``code * (scale * block scale)``; the high half of a byte comes first."""
    codes = shifted_inside(rows, (4, 0), 15).flatten(1)
    values = look_up(scales["table"], codes).unflatten(1, (-1, NVFP4_BLOCK)) * 0.5
    return (values * (scales["tensor_scale"] * scales["scale"].float())[:, :, None]).flatten(1)


def e2m1_table() -> Tensor:
    """Twice the values of nvfp4's codes."""
    return torch.tensor(E2M1_DOUBLED, dtype=torch.int8)


def unswizzle(scales: Tensor, rows: int, columns: int) -> Tensor:
    """Block scales ``[rows columns]`` out of tiles of 128 x 4.

    A tile is stored as 32 x 16: row r and column c of it lie at row r % 32, column 4 (r // 32) + c. Raises ValueError
    for another number of scales.
    """
    tiles = (-(-rows // TILE_ROWS), -(-columns // TILE_COLUMNS))
    if scales.numel() != tiles[0] * tiles[1] * TILE_ROWS * TILE_COLUMNS:
        raise ValueError(f"{scales.numel()} block scales, expected whole tiles for {rows} rows of {columns}")
    data = scales.contiguous().view(torch.uint8).view(*tiles, 32, 4, TILE_COLUMNS)
    matrix = data.permute(0, 3, 2, 1, 4).reshape(tiles[0] * TILE_ROWS, tiles[1] * TILE_COLUMNS)
    return matrix[:rows, :columns].contiguous().view(scales.dtype)


MXFP8, NVFP4 = Codec("mxfp8", _mxfp8), Codec("nvfp4", _nvfp4)

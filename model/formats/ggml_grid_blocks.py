"""GGUF's grid formats: 256 numbers in a block, four or eight of them a point of a fixed grid. See ggml_blocks.py.

``scales["grid"]``: the points, one after the other; ``scales["signs"]``: the eight signs that seven bits stand for.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .ggml_blocks import halves, look_up, reinterpret, shifted_inside, words
from .packed import Scales

# Of the eight signs the last is the parity of the others.
SIGNS = tuple(index | (index.bit_count() & 1) << 7 for index in range(128))
SEVENS, THREES = (0, 7, 14, 21), (0, 3, 6, 9)
DELTA = 0.125


def iq2_xxs(blocks: Tensor, scales: Scales) -> Tensor:
    data = blocks[:, 2:].unflatten(1, (8, 8))
    bits = reinterpret(data[..., 4:], torch.int32)[..., 0]
    scale = halves(blocks[:, :2]) * (0.5 + (bits >> 28 & 15).float()) * 0.25
    return _points(scale, scales, data[..., :4], 8, scales["signs"][shifted_inside(bits, SEVENS, 127)])


def iq2_xs(blocks: Tensor, scales: Scales) -> Tensor:
    data = words(blocks[:, 2:66])
    return _points(_half_steps(blocks[:, :2], blocks[:, 66:]), scales, data & 511, 8, scales["signs"][data >> 9])


def iq2_s(blocks: Tensor, scales: Scales) -> Tensor:
    high = shifted_inside(blocks[:, 66:74], (0, 2, 4, 6), 3).flatten(1).int()
    return _points(
        _half_steps(blocks[:, :2], blocks[:, 74:]), scales, blocks[:, 2:34].int() | high << 8, 8, blocks[:, 34:66]
    )


def iq3_xxs(blocks: Tensor, scales: Scales) -> Tensor:
    bits = reinterpret(blocks[:, 66:], torch.int32)
    scale = halves(blocks[:, :2]) * (0.5 + (bits >> 28 & 15).float()) * 0.5
    return _points(scale, scales, blocks[:, 2:66], 4, scales["signs"][shifted_inside(bits, SEVENS, 127)])


def iq3_s(blocks: Tensor, scales: Scales) -> Tensor:
    scale = halves(blocks[:, :2]) * (1 + 2 * shifted_inside(blocks[:, 106:], (0, 4), 15).flatten(1)).float()
    high = shifted_inside(blocks[:, 66:74], range(8), 1).flatten(1).int()
    return _points(scale, scales, blocks[:, 2:66].int() | high << 8, 4, blocks[:, 74:106])


def iq1_s(blocks: Tensor, scales: Scales) -> Tensor:
    high = words(blocks[:, 34:])
    scale = halves(blocks[:, :2]) * (2 * (high >> 12 & 7) + 1).float()
    delta = torch.where(high & 0x8000 == 0, DELTA, -DELTA)
    codes = blocks[:, 2:34].int() | shifted_inside(high, THREES, 7).flatten(1) << 8
    points = look_up(scales["grid"].view(-1, 8), codes).view(-1, 8, 32)
    return (scale[:, :, None] * (points + delta[:, :, None])).flatten(1)


def iq1_m(blocks: Tensor, scales: Scales) -> Tensor:
    """The block's scale lies in the upper four bits of four words, the groups' in the other twelve."""
    parts = words(blocks[:, 48:])
    bits = sum((part >> 12) << 4 * place for place, part in enumerate(parts.unbind(1)))
    assert isinstance(bits, Tensor)
    scale = bits.to(torch.int16).view(torch.float16).float()[:, None]
    scale = scale * (2 * shifted_inside(parts, THREES, 7).flatten(1) + 1).float()
    high = shifted_inside(blocks[:, 32:48], (0, 4), 15).flatten(1).int()
    delta = torch.where(high & 8 == 0, DELTA, -DELTA)
    points = look_up(scales["grid"].view(-1, 8), blocks[:, :32].int() | (high & 7) << 8)
    return (scale[:, :, None] * (points + delta[:, :, None]).view(-1, 16, 16)).flatten(1)


def _half_steps(block_scale: Tensor, data: Tensor) -> Tensor:
    return halves(block_scale) * (0.5 + shifted_inside(data, (0, 4), 15).flatten(1).float()) * 0.25


def _points(scale: Tensor, scales: Scales, codes: Tensor, size: int, signs: Tensor) -> Tensor:
    """Points of a grid with signs, times the scales ``[b groups]``. signs: a bit for each number, set for minus."""
    groups = (len(codes), scale.shape[1], -1)
    points = look_up(scales["grid"].view(-1, size), codes.flatten(1)).view(groups)
    sign = 1 - 2 * shifted_inside(signs, range(8), 1).view(groups).float()
    return (scale[:, :, None] * points * sign).flatten(1)

"""The simple block formats of GGUF: one scale for 16 to 256 numbers, and what all block formats share.

A row is a sequence of blocks of equal size. Each function turns blocks ``[b bytes]`` into float32 ``[b numbers]``, bit
for bit as the package gguf does: the same multiplications and additions in the same order, each rounded to float32, in
place where possible, since new memory costs a CPU more than the arithmetic.
Layouts: ggml's block structures (ggml-common.h), as that package's ``quants`` module reads them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .packed import Scales

# Tables of values that codes stand for. E2M1 is doubled, so that its values are whole.
E2M1_DOUBLED = (0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)
IQ4 = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
TERNARY_POWERS = (1, 3, 9, 27, 81)


def reinterpret(data: Tensor, dtype: torch.dtype) -> Tensor:
    """Bytes as numbers of a wider dtype. They are copied, since a part of a block begins anywhere."""
    return data.clone(memory_format=torch.contiguous_format).view(dtype)


def halves(data: Tensor) -> Tensor:
    """Pairs of bytes ``[... 2n]`` as float16, in float32 ``[... n]``."""
    return reinterpret(data, torch.float16).float()


def words(data: Tensor) -> Tensor:
    """Pairs of bytes ``[... 2n]`` as unsigned 16-bit numbers, in int32 ``[... n]``."""
    pairs = data.unflatten(-1, (-1, 2)).int()
    return pairs[..., 0] | pairs[..., 1] << 8


def shifted(data: Tensor, shifts: range | tuple[int, ...], mask: int) -> Tensor:
    """``data >> shift & mask`` for each shift: ``[... n]`` to ``[... shifts n]``."""
    return torch.stack([data >> shift & mask for shift in shifts], dim=-2)


def shifted_inside(data: Tensor, shifts: range | tuple[int, ...], mask: int) -> Tensor:
    """The same with the results of each number side by side: ``[... n]`` to ``[... n shifts]``."""
    return torch.stack([data >> shift & mask for shift in shifts], dim=-1)


def nibbles(data: Tensor) -> Tensor:
    """The low halves of all bytes, then the high ones: ``[... n]`` to ``[... 2n]``."""
    return shifted(data, (0, 4), 15).flatten(-2)


def look_up(table: Tensor, codes: Tensor) -> Tensor:
    """Values of codes in float32, with the dimensions of the table's entries added at the end."""
    return table[codes.int()].float()


def q4_0(blocks: Tensor, scales: Scales) -> Tensor:
    return nibbles(blocks[:, 2:]).float().sub_(8).mul_(halves(blocks[:, :2]))


def q4_1(blocks: Tensor, scales: Scales) -> Tensor:
    return nibbles(blocks[:, 4:]).float().mul_(halves(blocks[:, :2])).add_(halves(blocks[:, 2:4]))


def q5_0(blocks: Tensor, scales: Scales) -> Tensor:
    return _five_bits(blocks[:, 2:]).float().sub_(16).mul_(halves(blocks[:, :2]))


def q5_1(blocks: Tensor, scales: Scales) -> Tensor:
    return _five_bits(blocks[:, 4:]).float().mul_(halves(blocks[:, :2])).add_(halves(blocks[:, 2:4]))


def _five_bits(data: Tensor) -> Tensor:
    """Four bytes with the fifth bit of each number, then the other four bits."""
    return nibbles(data[:, 4:]) | shifted_inside(data[:, :4], range(8), 1).flatten(1) << 4


def q8_0(blocks: Tensor, scales: Scales) -> Tensor:
    return blocks[:, 2:].view(torch.int8).float().mul_(halves(blocks[:, :2]))


def tq1_0(blocks: Tensor, scales: Scales) -> Tensor:
    """Five ternary digits in a byte, as a fraction of 256; in the last four bytes four."""
    data = blocks.int()
    parts = ((data[:, :32], 5), (data[:, 32:48], 5), (data[:, 48:52], 4))
    digits = [torch.stack([part * power for power in TERNARY_POWERS[:n]], 1).flatten(1) for part, n in parts]
    return halves(blocks[:, 52:]) * (((torch.cat(digits, 1) & 255) * 3 >> 8) - 1).float()


def tq2_0(blocks: Tensor, scales: Scales) -> Tensor:
    codes = shifted(blocks[:, :64].unflatten(1, (2, 32)), (0, 2, 4, 6), 3).flatten(1)
    return halves(blocks[:, 64:]) * (codes.float() - 1)


def mxfp4(blocks: Tensor, scales: Scales) -> Tensor:
    """An exponent for 32 numbers; half of it, since the table is doubled."""
    exponent = blocks[:, :1].int()
    bits = torch.where(exponent < 2, 0x200000 << exponent.clamp(max=1), exponent - 1 << 23)
    return bits.view(torch.float32) * look_up(scales["table"], nibbles(blocks[:, 1:]))


def nvfp4(blocks: Tensor, scales: Scales) -> Tensor:
    """A scale in fp8 without sign for each 16 numbers, four of them before the codes."""
    scale = _unsigned_e4m3(blocks[:, :4]) * 0.5
    codes = nibbles(blocks[:, 4:].unflatten(1, (4, 8)))
    return (scale[:, :, None] * look_up(scales["table"], codes)).flatten(1)


def _unsigned_e4m3(data: Tensor) -> Tensor:
    exponent, mantissa = data.int() >> 3 & 15, data.int() & 7
    normal = (exponent + 120 << 23 | mantissa << 20).view(torch.float32)
    value = torch.where(exponent == 0, mantissa.float() * 2**-9, normal)
    return torch.where((data == 0) | (data == 0x7F), 0.0, value)


def iq4_nl(blocks: Tensor, scales: Scales) -> Tensor:
    return halves(blocks[:, :2]) * look_up(scales["table"], nibbles(blocks[:, 2:]))


def iq4_xs(blocks: Tensor, scales: Scales) -> Tensor:
    """Six bits of scale for each 32 numbers, the upper two of them in the word before the rest."""
    low = shifted_inside(blocks[:, 4:8], (0, 4), 15).flatten(1)
    high = shifted_inside(words(blocks[:, 2:4])[:, 0], range(0, 16, 2), 3)
    scale = halves(blocks[:, :2]) * ((low | high << 4) - 32).float()
    codes = nibbles(blocks[:, 8:].unflatten(1, (8, 16)))
    return (scale[:, :, None] * look_up(scales["table"], codes)).flatten(1)

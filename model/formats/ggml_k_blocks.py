"""GGUF's K formats: 256 numbers in a block, whose groups of 16 or 32 have quantised scales. See ggml_blocks.py."""

from __future__ import annotations

import torch
from torch import Tensor

from .ggml_blocks import halves, shifted
from .packed import Scales

PAIRS, BITS = (0, 2, 4, 6), range(8)


def q2_k(blocks: Tensor, scales: Scales) -> Tensor:
    both, data = blocks[:, :16], blocks[:, 16:80]
    scale = halves(blocks[:, 80:82]) * (both & 15).float()
    minimum = halves(blocks[:, 82:84]) * (both >> 4).float()
    codes = shifted(data.unflatten(1, (2, 32)), PAIRS, 3).reshape(-1, 16, 16).float()
    return codes.mul_(scale[:, :, None]).sub_(minimum[:, :, None]).flatten(1)


def q3_k(blocks: Tensor, scales: Scales) -> Tensor:
    """The third bit of each number is stored inverted."""
    low = shifted(blocks[:, 96:104], (0, 4), 15).flatten(1)
    high = shifted(blocks[:, 104:108], PAIRS, 3).flatten(1)
    scale = halves(blocks[:, 108:110]) * ((low | high << 4).float() - 32)
    codes = shifted(blocks[:, 32:96].unflatten(1, (2, 32)), PAIRS, 3).reshape(-1, 16, 16)
    thirds = shifted(blocks[:, :32], BITS, 1).reshape(-1, 16, 16)
    return codes.float().sub_((thirds ^ 1) << 2).mul_(scale[:, :, None]).flatten(1)


def q4_k(blocks: Tensor, scales: Scales) -> Tensor:
    codes = shifted(blocks[:, 16:].unflatten(1, (4, 32)), (0, 4), 15).flatten(1, 2)
    return _scaled(blocks, codes)


def q5_k(blocks: Tensor, scales: Scales) -> Tensor:
    codes = shifted(blocks[:, 48:].unflatten(1, (4, 32)), (0, 4), 15).flatten(1, 2)
    return _scaled(blocks, codes | shifted(blocks[:, 16:48], BITS, 1) << 4)


def _scaled(blocks: Tensor, codes: Tensor) -> Tensor:
    """Codes ``[b 8 32]`` with the scales and minima in front of a block: six bits each, the upper two apart."""
    first, second, rest = blocks[:, 4:16].unflatten(1, (3, 4)).unbind(1)
    scale = torch.cat([first & 63, (rest & 15) | (first >> 2 & 48)], 1)
    minimum = torch.cat([second & 63, (rest >> 4) | (second >> 2 & 48)], 1)
    scale, minimum = halves(blocks[:, :2]) * scale.float(), halves(blocks[:, 2:4]) * minimum.float()
    return codes.float().mul_(scale[:, :, None]).sub_(minimum[:, :, None]).flatten(1)


def q6_k(blocks: Tensor, scales: Scales) -> Tensor:
    scale = halves(blocks[:, 208:210]) * blocks[:, 192:208].view(torch.int8).float()
    low = shifted(blocks[:, :128].unflatten(1, (2, 64)), (0, 4), 15).reshape(-1, 8, 32)
    high = shifted(blocks[:, 128:192].unflatten(1, (2, 32)), PAIRS, 3).reshape(-1, 8, 32)
    codes = (low | high << 4).reshape(-1, 16, 16).float().sub_(32)
    return codes.mul_(scale[:, :, None]).flatten(1)

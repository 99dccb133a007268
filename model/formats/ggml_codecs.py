"""Every block format that a GGUF file can hold its weights in, by ggml's name."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

import torch
from torch import Tensor

from . import ggml_blocks as simple
from . import ggml_grid_blocks as grid
from . import ggml_k_blocks as k
from .packed import Codec, Scales


class BlockFormat(NamedTuple):
    """bytes, numbers: in a block. unpack: from blocks ``[b bytes]`` to float32 ``[b numbers]``. tables: what it
    needs."""

    bytes: int
    numbers: int
    unpack: Callable[[Tensor, Scales], Tensor]
    tables: Callable[[str], dict[str, Tensor]]


def codec_of(name: str) -> Codec:
    """The codec of a block format. Raises ValueError that lists the known ones."""
    if name not in BLOCK_FORMATS:
        raise ValueError(f"GGUF format {name} can't be unpacked; known: {', '.join(BLOCK_FORMATS)}")
    return Codec(name, partial(_unpack, BLOCK_FORMATS[name]))


def _unpack(block_format: BlockFormat, rows: Tensor, scales: Scales) -> Tensor:
    return block_format.unpack(rows.reshape(-1, block_format.bytes), scales).view(len(rows), -1)


def _no_tables(name: str) -> dict[str, Tensor]:
    return {}


def _values(values: tuple[int, ...]) -> Callable[[str], dict[str, Tensor]]:
    return lambda name: {"table": torch.tensor(values, dtype=torch.int8)}


@lru_cache
def _grid(name: str) -> dict[str, Tensor]:
    """The grid of a format, which the package gguf has, and the signs."""
    from gguf import quants

    reader = getattr(quants, name)
    reader.init_grid()
    signs = torch.tensor(grid.SIGNS, dtype=torch.uint8)
    return {"grid": torch.from_numpy(reader.grid.astype("int8").ravel()), "signs": signs}


BLOCK_FORMATS: dict[str, BlockFormat] = {
    "Q4_0": BlockFormat(18, 32, simple.q4_0, _no_tables),
    "Q4_1": BlockFormat(20, 32, simple.q4_1, _no_tables),
    "Q5_0": BlockFormat(22, 32, simple.q5_0, _no_tables),
    "Q5_1": BlockFormat(24, 32, simple.q5_1, _no_tables),
    "Q8_0": BlockFormat(34, 32, simple.q8_0, _no_tables),
    "Q2_K": BlockFormat(84, 256, k.q2_k, _no_tables),
    "Q3_K": BlockFormat(110, 256, k.q3_k, _no_tables),
    "Q4_K": BlockFormat(144, 256, k.q4_k, _no_tables),
    "Q5_K": BlockFormat(176, 256, k.q5_k, _no_tables),
    "Q6_K": BlockFormat(210, 256, k.q6_k, _no_tables),
    "IQ1_S": BlockFormat(50, 256, grid.iq1_s, _grid),
    "IQ1_M": BlockFormat(56, 256, grid.iq1_m, _grid),
    "IQ2_XXS": BlockFormat(66, 256, grid.iq2_xxs, _grid),
    "IQ2_XS": BlockFormat(74, 256, grid.iq2_xs, _grid),
    "IQ2_S": BlockFormat(82, 256, grid.iq2_s, _grid),
    "IQ3_XXS": BlockFormat(98, 256, grid.iq3_xxs, _grid),
    "IQ3_S": BlockFormat(110, 256, grid.iq3_s, _grid),
    "IQ4_NL": BlockFormat(18, 32, simple.iq4_nl, _values(simple.IQ4)),
    "IQ4_XS": BlockFormat(136, 256, simple.iq4_xs, _values(simple.IQ4)),
    "TQ1_0": BlockFormat(54, 256, simple.tq1_0, _no_tables),
    "TQ2_0": BlockFormat(66, 256, simple.tq2_0, _no_tables),
    "MXFP4": BlockFormat(17, 32, simple.mxfp4, _values(simple.E2M1_DOUBLED)),
    "NVFP4": BlockFormat(36, 64, simple.nvfp4, _values(simple.E2M1_DOUBLED)),
}

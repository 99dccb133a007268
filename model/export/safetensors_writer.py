"""Writes safetensors files tensor by tensor, so that no more than one is in memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import BinaryIO

import torch
from torch import Tensor

from .encoders import Piece

NAMES = {
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.float32: "F32",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.int8: "I8",
    torch.uint8: "U8",
}
ALIGNMENT = 8


def write_safetensors(
    file: BinaryIO, pieces: Sequence[Piece], values: Iterable[Tensor], metadata: Mapping[str, str]
) -> None:
    """Write pieces and their values, which come in the same order.

    Large items come first in published files; the order here is the given one. Source: the format's specification.
    """
    header, offset = dict[str, object](), 0
    for name, dtype, shape in pieces:
        end = offset + prod(shape) * dtype.itemsize
        header[name] = {"dtype": NAMES[dtype], "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps({"__metadata__": {"format": "pt", **metadata}, **header}).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    file.write(len(text).to_bytes(8, "little") + text)
    for piece, value in zip(pieces, values, strict=True):
        if (value.dtype, tuple(value.shape)) != (piece.dtype, piece.shape):
            raise ValueError(f"{piece.name} is {value.dtype} {list(value.shape)}, announced as {piece.dtype}")
        file.write(value.contiguous().flatten().view(torch.uint8).numpy().data)

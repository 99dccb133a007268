"""How a checkpoint's weights are stored when one is written: each tensor as one or several in the file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..formats.tensors import Shape
from ..linear.quantise import MAX_VALUES, quantise_rows

# What ComfyUI's guide and its readers keep out of 8 bits stays bf16: embedders, encoders, convolutions, norms.
_LARGE = re.compile(r"decoder\.layers\.\d+\.(self_attn|cross_attn|mlp)\.\w+_proj\.weight")


class Piece(NamedTuple):
    """A tensor of the file that is written."""

    name: str
    dtype: torch.dtype
    shape: Shape


class Encoder(NamedTuple):
    """pieces: what a tensor of a shape becomes. encode: its values for them, from float32, in the same order."""

    pieces: Callable[[str, Shape], list[Piece]]
    encode: Callable[[str, Tensor], list[Tensor]]


def _plain(dtype: torch.dtype) -> Encoder:
    return Encoder(
        lambda name, shape: [Piece(name, dtype, shape)],
        lambda name, value: [value.to(dtype)],
    )


def _scaled(dtype: torch.dtype, form: str, by_row: bool) -> Encoder:
    """Weights of the transformer's layers as ComfyUI's ``comfy_quant`` stores them: ``weight * weight_scale``."""
    note = torch.frombuffer(bytearray(json.dumps({"format": form}).encode()), dtype=torch.uint8)
    plain = _plain(torch.bfloat16)

    def pieces(name: str, shape: Shape) -> list[Piece]:
        if not _LARGE.fullmatch(name):
            return plain.pieces(name, shape)
        layer = name.removesuffix(".weight")
        scale = Piece(f"{layer}.weight_scale", torch.float32, (shape[0], 1) if by_row else ())
        return [Piece(name, dtype, shape), scale, Piece(f"{layer}.comfy_quant", torch.uint8, tuple(note.shape))]

    def encode(name: str, value: Tensor) -> list[Tensor]:
        if not _LARGE.fullmatch(name):
            return plain.encode(name, value)
        weight, scale = quantise_rows(value, dtype) if by_row else _quantise(value, dtype)
        return [weight, scale, note]

    return Encoder(pieces, encode)


def _quantise(value: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A matrix in 8 bits with one scale ``[]``."""
    largest = value.abs().amax()
    scale = torch.where(largest == 0, 1.0, largest / MAX_VALUES[dtype])
    return (value / scale).to(dtype), scale


SAFETENSORS: dict[str, Encoder] = {
    "bf16": _plain(torch.bfloat16),
    "fp16": _plain(torch.float16),
    "fp32": _plain(torch.float32),
    "fp8": _scaled(torch.float8_e4m3fn, "float8_e4m3fn", by_row=False),
    "int8": _scaled(torch.int8, "int8_tensorwise", by_row=True),
}

"""Finds the scales of 8-bit and 4-bit weights in safetensors files, and makes each weight and its scales one tensor.

The same numbers are stored under three generations of names: ``scale_weight`` with the marker ``scaled_fp8``,
``weight_scale`` with a table in the file's header, and ``weight_scale`` with ``comfy_quant``. Some programs write the
scales into fp8_scales.json beside the file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from . import scaled_codecs as codecs
from .packed import Packed
from .tensors import CheckpointError, Entry, Tensors, read_json

HEADER_KEY, SIDE_FILE = "_quantization_metadata", "fp8_scales.json"
WEIGHT, CONFIG, SECOND = ".weight", ".comfy_quant", ".weight_scale_2"
SCALES = (".weight_scale", ".scale_weight")
# What only kernels that quantise the input read.
UNUSED = (".input_scale", ".scale_input")
MARKER = "scaled_fp8"
FP8 = {"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}
CONVROT_GROUP = 256


@dataclass
class _Layer:
    """One weight with its scales. scale: its entry, or the number itself."""

    name: str
    weight: Entry
    scale: Entry | float | None = None
    second: Entry | None = None
    config: dict[str, Any] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    @property
    def rotation(self) -> int:
        """Columns that are rotated together; 0 for none."""
        options = {**self.config, **(self.config.get("params") or {})}
        return int(options.get("convrot_groupsize", CONVROT_GROUP)) if options.get("convrot") else 0


def join_scales(tensors: Tensors) -> Tensors:
    """The tensors with one entry for each packed weight, and without scales and markers.

    What is stored in an unknown form stays as it is, for `check_weights` to name. Raises CheckpointError for scales
    that do not fit their weight.
    """
    entries, unused = tensors.entries(), set()
    for layer in _layers(tensors):
        packed = _packed_entry(layer)
        if packed is not None:
            entries[f"{layer.name}{WEIGHT}"] = packed
            unused |= {*layer.names, *(layer.name + suffix for suffix in UNUSED)}
    unused |= {name for name in entries if name.rpartition(".")[2] == MARKER}
    kept = {name: entry for name, entry in entries.items() if name not in unused}
    return Tensors(kept, tensors.files, tensors.metadata)


def unknown_formats(tensors: Tensors) -> dict[str, list[str]]:
    """The layers whose weights are stored in formats that can't be unpacked, by the formats' names."""
    layers: dict[str, list[str]] = {}
    for name, config in _configs(tensors).items():
        if f"{name}{CONFIG}" in tensors:
            layers.setdefault(str(config.get("format")), []).append(name)
    return layers


def _layers(tensors: Tensors) -> Iterator[_Layer]:
    entries, configs = tensors.entries(), _configs(tensors)
    has_fp8 = any(entry.dtype in FP8 for entry in entries.values())
    beside = _side_scales(tensors) if has_fp8 else {}
    for key, weight in entries.items():
        name = key.removesuffix(WEIGHT)
        if name == key or weight.packed is not None:
            continue
        names = [name + suffix for suffix in (*SCALES, SECOND, CONFIG) if name + suffix in entries]
        scale = next((entries[name + suffix] for suffix in SCALES if name + suffix in entries), beside.get(key))
        yield _Layer(name, weight, scale, entries.get(name + SECOND), configs.get(name, {}), names)


def _configs(tensors: Tensors) -> dict[str, dict[str, Any]]:
    """How layers are stored, by name: from the header's table, whose names may lack a prefix, and from the layers."""
    table = json.loads(tensors.metadata.get(HEADER_KEY, "{}")).get("layers", {})
    names = [name.removesuffix(WEIGHT) for name in tensors if name.endswith(WEIGHT)] if table else []
    configs = {name: table[stated] for name in names for stated in _suffixes(name) if stated in table}
    for name, entry in tensors.entries().items():
        if name.endswith(CONFIG):
            configs[name.removesuffix(CONFIG)] = _read_config(entry)
    return configs


def _suffixes(name: str) -> Iterator[str]:
    yield name
    while "." in name:
        _, _, name = name.partition(".")
        yield name


def _read_config(entry: Entry) -> dict[str, Any]:
    with entry.path.open("rb") as file:
        file.seek(entry.span[0])
        text = file.read(entry.span[1] - entry.span[0])
    try:
        config = json.loads(text)
    except ValueError as error:
        raise CheckpointError(f"{entry.path}: {entry.key} is not JSON ({error}); fetch the file again") from error
    return config if isinstance(config, dict) else {}


def _side_scales(tensors: Tensors) -> dict[str, float]:
    path = tensors.files[0].parent / SIDE_FILE
    return read_json(path) if path.is_file() else {}


def _packed_entry(layer: _Layer) -> Entry | None:
    """The entry of a packed weight; None for plain numbers and unknown forms."""
    opener = OPENERS.get(_format_of(layer))
    return None if opener is None else opener(layer)


def _format_of(layer: _Layer) -> str:
    """A name of OPENERS, another name, or "" for plain numbers."""
    if "format" in layer.config:
        return str(layer.config["format"])
    if layer.second is not None:
        return "nvfp4"
    if isinstance(layer.scale, Entry) and layer.scale.dtype in ("U8", "F8_E8M0"):
        return "mxfp8"
    if layer.weight.dtype == "I8" and layer.scale is not None:
        return "int8_tensorwise"
    is_matrix = len(layer.weight.shape) == 2
    return FP8.get(layer.weight.dtype, "") if is_matrix or layer.scale is not None else ""


def _open_scaled(layer: _Layer) -> Entry:
    """8-bit numbers with one scale, one for each row, or none."""
    width = "int8" if layer.weight.dtype == "I8" else "fp8"
    codec = codecs.scaled(width if width == "int8" or layer.scale is None else f"{width} scaled")
    if group := layer.rotation:
        columns = layer.weight.shape[-1]
        if group.bit_count() != 1 or not group.bit_length() % 2 or columns % group:
            raise CheckpointError(
                f"{layer.weight.path}: {layer.name} is rotated in groups of {group} columns, which must be a power of "
                f"4 and divide its {columns} columns; fetch the file again"
            )
        codec = codecs.rotated("int8 convrot", group)
    rows = layer.weight.shape[0]
    if isinstance(layer.scale, Entry) and torch.Size(layer.scale.shape).numel() not in (1, rows):
        raise CheckpointError(
            f"{layer.weight.path}: {layer.name} has scales of shape {layer.scale.shape} for {rows} rows; allowed: "
            "one, or one for each row. Choose the bf16 file, or one quantised for ComfyUI"
        )

    def read() -> Packed:
        weight, scales = _read(layer.weight), {}
        if layer.scale is not None:
            scale = _read(layer.scale).float() if isinstance(layer.scale, Entry) else torch.tensor(float(layer.scale))
            scales["scale"] = scale.reshape(()) if scale.numel() == 1 else scale.reshape(-1, 1)
        return Packed(codec, weight.reshape(-1, weight.shape[-1]), scales, tuple(weight.shape))

    return layer.weight._replace(packed=read, dtype=codec.name)


def _open_mxfp8(layer: _Layer) -> Entry:
    return _with_block_scales(layer, partial(_read_mxfp8, layer), layer.weight.shape, codecs.MXFP8_PADDING, "mxfp8")


def _open_nvfp4(layer: _Layer) -> Entry:
    rows, half = layer.weight.shape
    return _with_block_scales(layer, partial(_read_nvfp4, layer), (rows, 2 * half), codecs.NVFP4_PADDING, "nvfp4")


def _with_block_scales(
    layer: _Layer, read: Callable[[], Packed], shape: tuple[int, ...], padding: int, name: str
) -> Entry:
    if not isinstance(layer.scale, Entry) or (name == "nvfp4" and layer.second is None):
        raise CheckpointError(f"{layer.weight.path}: {layer.name} is {name} without its scales; fetch the file again")
    return layer.weight._replace(shape=shape, packed=read, dtype=name, padding=padding)


def _read_mxfp8(layer: _Layer) -> Packed:
    weight = _read(layer.weight)
    return Packed(
        codecs.MXFP8,
        weight,
        {"scale": _block_scales(layer, weight.shape[1] // codecs.MXFP8_BLOCK)},
        tuple(weight.shape),
    )


def _read_nvfp4(layer: _Layer) -> Packed:
    assert layer.second is not None
    weight = _read(layer.weight)
    rows, columns = weight.shape[0], 2 * weight.shape[1]
    scales = {
        "scale": _block_scales(layer, columns // codecs.NVFP4_BLOCK),
        "tensor_scale": _read(layer.second).float().reshape(()),
        "table": codecs.e2m1_table(),
    }
    return Packed(codecs.NVFP4, weight, scales, (rows, columns))


def _block_scales(layer: _Layer, columns: int) -> Tensor:
    assert isinstance(layer.scale, Entry)
    scales = _read(layer.scale)
    try:
        return codecs.unswizzle(scales, layer.weight.shape[0], columns)
    except ValueError as error:
        raise CheckpointError(f"{layer.weight.path}: {layer.name} has {error}; fetch the file again") from error


def _read(entry: Entry) -> Tensor:
    return entry.read(entry.path, entry.key)


OPENERS: dict[str, Callable[[_Layer], Entry]] = {
    "float8_e4m3fn": _open_scaled,
    "float8_e5m2": _open_scaled,
    "int8_tensorwise": _open_scaled,
    "mxfp8": _open_mxfp8,
    "nvfp4": _open_nvfp4,
}

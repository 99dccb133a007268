"""Writes checkpoints in quantised formats, with the package gguf and by the formats' own definitions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
import torch
from safetensors.torch import save_file
from torch import Tensor

QUANTISED = r"decoder.layers."  # what ComfyUI's guide quantises
FP8 = {torch.float8_e4m3fn: 448.0, torch.float8_e5m2: 57344.0}


def write_gguf(
    path: Path,
    state: Mapping[str, Tensor],
    kind: str = "Q8_0",
    architecture: str = "acestep-dit",
    config: Mapping[str, Any] | None = None,
    tokenizer: tuple[Sequence[str], Sequence[str]] | None = None,
) -> Path:
    """A file as acestep.cpp writes it. kind: of matrices whose rows are whole blocks; vectors are float32, the rest
    bf16. tokenizer: tokens and merges."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, architecture)
    if config is not None:
        writer.add_string("acestep.config_json", json.dumps(config))
    if tokenizer is not None:
        writer.add_tokenizer_model("gpt2")
        writer.add_token_list(list(tokenizer[0]))
        writer.add_token_merges(list(tokenizer[1]))
    for name, tensor in state.items():
        chosen = gguf.GGMLQuantizationType[_kind_of(name, tensor, kind)]
        data = gguf.quants.quantize(tensor.float().contiguous().numpy(), chosen)
        writer.add_tensor(name, data, raw_dtype=chosen)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _kind_of(name: str, tensor: Tensor, kind: str) -> str:
    if tensor.ndim < 2 or name == "silence_latent":
        return "F32"
    block, _ = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    return "BF16" if tensor.shape[-1] % block or "scale_shift_table" in name else kind


def layers_of(state: Mapping[str, Tensor]) -> list[str]:
    """The layers that such files quantise."""
    return [name.removesuffix(".weight") for name in state if QUANTISED in name and name.endswith("_proj.weight")]


def quantised(state: Mapping[str, Tensor], form: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """A state dict with quantised layers, and the header's metadata. form: a key of FORMS."""
    layers, metadata = layers_of(state), {}
    tensors = dict(state)
    for layer in layers:
        tensors |= FORMS[form](layer, tensors.pop(f"{layer}.weight"))
    if form == "scaled_fp8":
        tensors["scaled_fp8"] = torch.zeros(2, dtype=torch.float8_e4m3fn)
    if form == "header":
        table = {layer: {"format": "float8_e4m3fn"} for layer in layers}
        metadata["_quantization_metadata"] = json.dumps({"format_version": "1.0", "layers": table})
    return tensors, metadata


def write_quantised(path: Path, state: Mapping[str, Tensor], form: str, prefix: str = "") -> Path:
    """The same as a file. The header's table keeps the official names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors, metadata = quantised(state, form)
    save_file({prefix + name: tensor.contiguous() for name, tensor in tensors.items()}, path, metadata)
    return path


def _config(**values: object) -> Tensor:
    return torch.tensor(list(json.dumps(values).encode()), dtype=torch.uint8)


def _fp8(weight: Tensor, dtype: torch.dtype = torch.float8_e4m3fn) -> tuple[Tensor, Tensor]:
    scale = weight.abs().max() / FP8[dtype]
    return (weight / scale).to(dtype), scale


def _int8(weight: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    return (weight / scale).round().to(torch.int8), scale


def _plain(layer: str, weight: Tensor) -> dict[str, Tensor]:
    return {f"{layer}.weight": weight.to(torch.float8_e4m3fn)}


def _scaled_fp8(layer: str, weight: Tensor) -> dict[str, Tensor]:
    values, scale = _fp8(weight)
    return {f"{layer}.weight": values, f"{layer}.scale_weight": scale, f"{layer}.scale_input": torch.ones(())}


def _header(layer: str, weight: Tensor) -> dict[str, Tensor]:
    values, scale = _fp8(weight)
    return {f"{layer}.weight": values, f"{layer}.weight_scale": scale, f"{layer}.input_scale": torch.ones(1)}


def _comfy_e5m2(layer: str, weight: Tensor) -> dict[str, Tensor]:
    values, scale = _fp8(weight, torch.float8_e5m2)
    config = _config(format="float8_e5m2", full_precision_matrix_mult=True)
    return {f"{layer}.weight": values, f"{layer}.weight_scale": scale[None], f"{layer}.comfy_quant": config}


def _int8_tensor(layer: str, weight: Tensor) -> dict[str, Tensor]:
    values, scale = _int8(weight, weight.abs().max() / 127)
    config = _config(format="int8_tensorwise")
    return {f"{layer}.weight": values, f"{layer}.weight_scale": scale, f"{layer}.comfy_quant": config}


def _int8_rows(layer: str, weight: Tensor) -> dict[str, Tensor]:
    values, scale = _int8(weight, weight.abs().amax(1, keepdim=True) / 127)
    config = _config(format="int8_tensorwise", params={"convrot": False})
    return {f"{layer}.weight": values, f"{layer}.weight_scale": scale, f"{layer}.comfy_quant": config}


def hadamard(size: int) -> Tensor:
    """The regular Hadamard matrix of a power of four, scaled to be orthogonal."""
    four = torch.ones(4, 4) - 2 * torch.eye(4).flip(0)
    matrix = torch.ones(1, 1)
    while len(matrix) < size:
        matrix = torch.kron(matrix, four)
    return matrix / size**0.5


def _convrot(layer: str, weight: Tensor) -> dict[str, Tensor]:
    rotated = (weight.unflatten(1, (-1, 16)) @ hadamard(16)).flatten(1)
    values, scale = _int8(rotated, rotated.abs().amax(1, keepdim=True) / 127)
    config = _config(format="int8_tensorwise", convrot=True, convrot_groupsize=16)
    return {f"{layer}.weight": values, f"{layer}.weight_scale": scale, f"{layer}.comfy_quant": config}


def _mxfp8(layer: str, weight: Tensor) -> dict[str, Tensor]:
    import comfy_kitchen

    values, scales = comfy_kitchen.quantize_mxfp8(weight, pad_32x=True)
    config = _config(format="mxfp8")
    return {
        f"{layer}.weight": values,
        f"{layer}.weight_scale": scales.view(torch.uint8),
        f"{layer}.comfy_quant": config,
    }


def _nvfp4(layer: str, weight: Tensor) -> dict[str, Tensor]:
    import comfy_kitchen

    scale = weight.abs().max() / (448 * 6)
    values, scales = comfy_kitchen.quantize_nvfp4(weight, scale, pad_16x=True)
    parts = {"weight": values, "weight_scale": scales, "weight_scale_2": scale, "comfy_quant": _config(format="nvfp4")}
    return {f"{layer}.{name}": tensor for name, tensor in parts.items()}


# What the layers become, and the relative error of a weight that the format allows.
FORMS = {
    "fp8": _plain, "scaled_fp8": _scaled_fp8, "header": _header, "comfy_e5m2": _comfy_e5m2,
    "int8": _int8_tensor, "int8 rows": _int8_rows, "convrot": _convrot, "mxfp8": _mxfp8, "nvfp4": _nvfp4,
}  # fmt: skip
ERRORS = {
    "fp8": 0.04, "scaled_fp8": 0.04, "header": 0.04, "comfy_e5m2": 0.08,
    "int8": 0.02, "int8 rows": 0.02, "convrot": 0.02, "mxfp8": 0.04, "nvfp4": 0.15,
}  # fmt: skip
KITCHEN = ("mxfp8", "nvfp4")  # forms that comfy-kitchen writes

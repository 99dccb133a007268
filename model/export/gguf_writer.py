"""Writes GGUF files as acestep.cpp lays them out, tensor by tensor."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..formats.gguf_file import CONFIG_KEY, INSTALL
from ..formats.tensors import CheckpointError, Shape

ARCHITECTURE = "acestep-dit"
FORMATS = ("BF16", "F16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0")
# Tensors that its program reads as plain numbers.
_PLAIN = ("silence_latent", "scale_shift_table", "null_condition_emb")
# Keys of the header and the fields of config.json that they repeat.
_MODEL_KEYS = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "vocab_size": "vocab_size",
    "context_length": "max_position_embeddings",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "rope.freq_base": "rope_theta",
}
_OWN_KEYS = (
    *("in_channels", "audio_acoustic_hidden_dim", "patch_size", "sliding_window", "fsq_dim", "text_hidden_dim"),
    *("timbre_hidden_dim", "num_lyric_encoder_hidden_layers", "num_timbre_encoder_hidden_layers"),
    *("num_audio_decoder_hidden_layers", "num_attention_pooler_hidden_layers", "encoder_hidden_size"),
    *("encoder_intermediate_size", "encoder_num_attention_heads", "encoder_num_key_value_heads", "is_turbo"),
    "fsq_input_levels",
)
_FLOATS = ("rms_norm_eps", "rope_theta")


def write_gguf(
    path: Path, form: str, shapes: Mapping[str, Shape], values: Iterable[Tensor], config: Mapping[str, Any], name: str
) -> None:
    """Write a network's tensors, which come in float32 and in the order of the shapes.

    form: one of `FORMATS`, for every matrix whose rows its blocks divide; other matrices are bf16, vectors float32.
    config: of config.json. Raises CheckpointError without the package gguf.
    """
    try:
        import gguf
    except ImportError as error:
        raise CheckpointError(f"writing {path.name} needs the package gguf: {INSTALL}") from error
    writer = gguf.GGUFWriter(path, ARCHITECTURE)
    _write_header(writer, config, form, name)
    types = {key: gguf.GGMLQuantizationType[_format_of(key, shape, form)] for key, shape in shapes.items()}
    for key, shape in shapes.items():
        block, size = gguf.GGML_QUANT_SIZES[types[key]]
        numbers = torch.Size(shape).numel()
        kind = torch.zeros((), dtype=torch.float32).numpy().dtype
        writer.add_tensor_info(key, shape, kind, numbers // block * size, raw_dtype=types[key])
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for (key, shape), value in zip(shapes.items(), values, strict=True):
            rows = value.reshape(-1, shape[-1] if shape else 1).contiguous().numpy()
            writer.write_tensor_data(gguf.quants.quantize(rows, types[key]))
    finally:
        writer.close()


def _write_header(writer: Any, config: Mapping[str, Any], form: str, name: str) -> None:
    writer.add_name(name)
    fields = {f"{ARCHITECTURE}.{key}": field for key, field in _MODEL_KEYS.items()}
    fields |= {f"acestep.{key}": key for key in _OWN_KEYS}
    for key, field in fields.items():
        if field in config:
            _add(writer, key, field, config[field])
    writer.add_string(CONFIG_KEY, json.dumps(config))
    writer.add_quantization_version(2)
    writer.add_string("general.file_type", form)


def _add(writer: Any, key: str, field: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, list):
        writer.add_array(key, value)
    elif field in _FLOATS:
        writer.add_float32(key, float(value))
    else:
        writer.add_uint32(key, int(value))


def _format_of(name: str, shape: Shape, form: str) -> str:
    """The format of one tensor. Source: acestep.cpp, tools/quantize.cpp."""
    matrix = [size for i, size in enumerate(shape) if size != 1 or any(s != 1 for s in shape[:i])]
    if len(matrix) < 2 or name == "silence_latent":
        return "F32"
    if any(part in name for part in _PLAIN) or shape[-1] % (32 if form.startswith("Q") else 1):
        return "BF16"
    return form

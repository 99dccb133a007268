"""Checkpoints with random weights in the common layouts, written without holding one in memory."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from acestep_xl.model.config import from_official
from acestep_xl.model.network import AceStep

Shapes = Mapping[str, tuple[int, ...]]

CHUNK = 2**24  # weights drawn, and held in memory, at a time
DTYPE_NAMES = {torch.bfloat16: "BF16", torch.float32: "F32"}

# The published XL configuration: 4,987,310,726 parameters.
XL = {
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "encoder_hidden_size": 2048,
    "encoder_intermediate_size": 6144,
    "encoder_num_attention_heads": 16,
    "encoder_num_key_value_heads": 8,
    "num_hidden_layers": 32,
    "num_lyric_encoder_hidden_layers": 8,
    "num_timbre_encoder_hidden_layers": 4,
    "num_attention_pooler_hidden_layers": 2,
    "text_hidden_dim": 1024,
    "audio_acoustic_hidden_dim": 64,
    "patch_size": 2,
    "pool_window_size": 5,
    "fsq_input_levels": [8, 8, 8, 5, 5, 5],
    "timbre_fix_frame": 750,
    "sliding_window": 128,
    "rope_theta": 1_000_000,
    "rms_norm_eps": 1e-6,
}
# Small enough for a test, large enough (100 MB) to stand out from the interpreter's own memory.
TINY = XL | {
    "hidden_size": 640,
    "intermediate_size": 2432,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "encoder_hidden_size": 512,
    "encoder_intermediate_size": 1536,
    "encoder_num_attention_heads": 4,
    "encoder_num_key_value_heads": 2,
    "num_hidden_layers": 4,
    "num_lyric_encoder_hidden_layers": 2,
    "num_timbre_encoder_hidden_layers": 2,
}


def write_weights(path: Path, shapes: Shapes, dtype: torch.dtype) -> None:
    """Write a safetensors file of random weights, a chunk at a time. Layout: length, JSON header, raw tensors."""
    header: dict[str, Any] = {}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + math.prod(shape) * dtype.itemsize
        header[name] = {"dtype": DTYPE_NAMES[dtype], "shape": list(shape), "data_offsets": [start, end]}
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    generator = torch.Generator().manual_seed(0)
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        for shape in shapes.values():
            for count in _chunks(math.prod(shape)):
                weights = torch.empty(count, dtype=dtype).normal_(0, 0.02, generator=generator)
                file.write(weights.view(torch.uint8).numpy().tobytes())
        file.flush()
        os.fsync(file.fileno())  # only pages that are on the disk can be dropped from the cache
    part.replace(path)


def _chunks(total: int) -> Iterator[int]:
    for start in range(0, total, CHUNK):
        yield min(CHUNK, total - start)


def write_split(folder: Path, config: Mapping[str, Any]) -> Path:
    """ComfyUI's split layout: one bf16 file."""
    path = folder / "acestep_v1.5_xl_sft_bf16.safetensors"
    write_weights(path, shapes_of(config), torch.bfloat16)
    return path


def write_shards(folder: Path, config: Mapping[str, Any]) -> Path:
    """The official layout of XL: config.json, float32 shards and their index."""
    path = folder / "acestep-v15-xl-sft"
    path.mkdir()
    shapes = shapes_of(config)
    names = list(shapes)
    middle = len(names) // 2
    shards = {"model-00001-of-00002": names[:middle], "model-00002-of-00002": names[middle:]}
    for stem, part in shards.items():
        write_weights(path / f"{stem}.safetensors", {name: shapes[name] for name in part}, torch.float32)
    weight_map = {name: f"{stem}.safetensors" for stem, part in shards.items() for name in part}
    (path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (path / "config.json").write_text(json.dumps(config))
    return path


def shapes_of(config: Mapping[str, Any]) -> Shapes:
    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in AceStep(from_official(config)).state_dict().items()}


def weight_files(checkpoint: Path) -> list[Path]:
    return [checkpoint] if checkpoint.is_file() else sorted(checkpoint.glob("*.safetensors"))


def drop_from_cache(checkpoint: Path) -> None:
    """Drop the checkpoint from the page cache, so the next load reads the disk."""
    for path in weight_files(checkpoint):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

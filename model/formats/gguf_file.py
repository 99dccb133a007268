"""GGUF files, memory-mapped: header and names by the package gguf, weights as they are stored.

Tensors have the official names in acestep.cpp's files, and llama.cpp's in its conversions of the text encoder. What a
file holds is told by these names, since the architecture that it states differs from program to program.
"""

from __future__ import annotations

import json
import math
import mmap
import re
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .file_kinds import identify, mismatch
from .ggml_codecs import BLOCK_FORMATS, codec_of
from .packed import Packed
from .tensors import CheckpointError, Entry, Shape, Tensors

INSTALL = "`pip install acestep-xl[gguf]`, or `pip install gguf` in ComfyUI's Python"
CONFIG_KEY = "acestep.config_json"
TOKEN_KEYS = ("tokenizer.ggml.tokens", "tokenizer.ggml.merges")
PLAIN = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
         "I8": torch.int8, "I16": torch.int16, "I32": torch.int32, "I64": torch.int64}  # fmt: skip
# llama.cpp's names for the layers of Qwen3.
_LLAMA = {
    "token_embd": "embed_tokens", "output_norm": "norm", "output": "lm_head", "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}  # fmt: skip
_LLAMA_NAME = re.compile(r"(?:blk\.(\d+)\.)?(\w+)\.(weight|bias)")


class _Stored(NamedTuple):
    name: str
    format: str
    shape: Shape
    offset: int
    size: int


def open_gguf(path: Path) -> Tensors:
    """Open one GGUF file. Raises CheckpointError for a truncated file, for anything else and without the package gguf.

    ``metadata`` has what `CONFIG_KEY` and `TOKEN_KEYS` name, as far as the file holds it.
    """
    status = path.stat()
    stored, metadata = _parse(path, status.st_mtime_ns, status.st_size)
    names = [tensor.name for tensor in stored]
    rename = _from_llama if any(name.startswith("blk.") for name in names) else str
    return Tensors({rename(tensor.name): _entry(path, tensor) for tensor in stored}, (path,), metadata)


def config_of(tensors: Tensors) -> dict[str, Any]:
    """The config.json that is stored in a file; empty where there is none. Raises CheckpointError if it is damaged."""
    text = tensors.metadata.get(CONFIG_KEY, "{}")
    try:
        config = json.loads(text)
    except (TypeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{tensors.files[0]} has a damaged {CONFIG_KEY}: {error}; fetch it again") from error
    return config if isinstance(config, dict) else {}


@lru_cache(maxsize=8)
def _parse(path: Path, modified: int, size: int) -> tuple[tuple[_Stored, ...], dict[str, Any]]:
    """The tensors of a file and its metadata, read once for each state of the file."""
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise CheckpointError(
            f"{path} is a GGUF file, and the package gguf that reads them is missing: {INSTALL}"
        ) from error
    if identify(path) != "gguf":
        raise CheckpointError(mismatch(path, "a GGUF file"))
    try:
        reader = GGUFReader(path)
        stored = tuple(_stored(tensor) for tensor in reader.tensors)
        wanted = (CONFIG_KEY, *TOKEN_KEYS)
        metadata = {key: reader.fields[key].contents() for key in wanted if key in reader.fields}
    except (ValueError, IndexError, KeyError, UnicodeDecodeError, OverflowError, MemoryError) as error:
        raise CheckpointError(
            f"{path} ({size:,} bytes) is not a complete GGUF file: {error}. An interrupted download looks like this; "
            "fetch the file again"
        ) from error
    return stored, metadata


def _stored(tensor: Any) -> _Stored:
    shape = tuple(int(size) for size in reversed(tensor.shape.tolist()))
    return _Stored(tensor.name, tensor.tensor_type.name, shape, int(tensor.data_offset), int(tensor.n_bytes))


def _entry(path: Path, stored: _Stored) -> Entry:
    span = (stored.offset, stored.offset + stored.size)
    if stored.format in PLAIN:
        read = partial(_read_plain, stored=stored)
        return Entry(path, stored.name, stored.shape, read, stored.format, span)
    packed = partial(_read_packed, path, stored) if stored.format in BLOCK_FORMATS else None
    return Entry(path, stored.name, stored.shape, _refuse, stored.format, span, packed)


def _read_plain(path: Path, key: str, stored: _Stored) -> Tensor:
    return _map(path, stored).view(PLAIN[stored.format]).view(stored.shape)


def _read_packed(path: Path, stored: _Stored) -> Packed:
    rows = math.prod(stored.shape[:-1])
    tables = BLOCK_FORMATS[stored.format].tables(stored.format)
    return Packed(codec_of(stored.format), _map(path, stored).view(rows, -1), tables, stored.shape)


def _refuse(path: Path, key: str) -> Tensor:
    raise CheckpointError(f"{path} stores {key} in a format that can't be unpacked")


def _map(path: Path, stored: _Stored) -> Tensor:
    """The bytes of a tensor; a mapping of its own, so that its pages are released with it."""
    start = stored.offset % mmap.ALLOCATIONGRANULARITY
    with path.open("rb") as file:
        # Private to this process, since torch has no tensors that can't be written to.
        mapping = mmap.mmap(file.fileno(), stored.size + start, access=mmap.ACCESS_COPY, offset=stored.offset - start)
    return torch.frombuffer(mapping, dtype=torch.uint8, offset=start, count=stored.size)


def _from_llama(name: str) -> str:
    match = _LLAMA_NAME.fullmatch(name)
    if match is None or match[2] not in _LLAMA:
        return name
    layer = "" if match[1] is None else f"layers.{match[1]}."
    return f"{layer}{_LLAMA[match[2]]}.{match[3]}"

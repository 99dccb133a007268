"""safetensors files, memory-mapped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from .file_kinds import identify, mismatch
from .tensors import CheckpointError, Entry, Tensors

LENGTH_BYTES = 8  # of the header's length, before the header


def open_safetensors(path: Path) -> Tensors:
    """Open one safetensors file. Raises CheckpointError for a truncated file and for anything else.

    Reading a tensor maps it from disk; nothing is copied until its dtype changes.
    """
    with _open(path):
        header, start, metadata = _read_header(path)
    return Tensors({key: _entry(path, key, value, start) for key, value in header.items()}, (path,), metadata)


def _entry(path: Path, key: str, value: dict[str, Any], start: int) -> Entry:
    first, end = value["data_offsets"]
    return Entry(path, key, tuple(value["shape"]), _read, value["dtype"], (start + first, start + end))


def _read(path: Path, key: str) -> Tensor:
    # Every tensor has a mapping of its own, so the pages of one that was copied are released with it.
    with _open(path) as file:
        return file.get_tensor(key)


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt", device="cpu")
    except SafetensorError as error:
        if identify(path) != "safetensors":
            raise CheckpointError(mismatch(path, "a safetensors file")) from error
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) is not a complete safetensors file: {_shortfall(path) or error}. "
            "An interrupted download looks like this; fetch the file again"
        ) from error


def _read_header(path: Path) -> tuple[dict[str, Any], int, dict[str, str]]:
    """The header by tensor name, the offset at which the data starts, and the header's metadata."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        header = json.loads(file.read(length))
    metadata = header.pop("__metadata__", None) or {}
    return header, LENGTH_BYTES + length, metadata


def _shortfall(path: Path) -> str:
    """How much of a file is missing by its own header; empty if the header itself is damaged or nothing is."""
    try:
        header, start, _ = _read_header(path)
        end = start + max(value["data_offsets"][1] for value in header.values())
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return ""
    missing = end - path.stat().st_size
    return f"{missing:,} of the {end:,} bytes that it announces are missing" if missing > 0 else ""

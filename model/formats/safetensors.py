"""safetensors files, memory-mapped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from .tensors import CheckpointError, Entry, Tensors


def open_safetensors(path: Path) -> Tensors:
    """Open one safetensors file. Raises CheckpointError for a truncated file and for anything else.

    Reading a tensor maps it from disk; nothing is copied until its dtype changes.
    """
    with _open(path) as file:
        shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 - not a mapping
    return Tensors({key: Entry(path, key, shape, _read) for key, shape in shapes.items()}, (path,))


def _read(path: Path, key: str) -> Tensor:
    # Every tensor has a mapping of its own, so the pages of one that was copied are released with it.
    with _open(path) as file:
        return file.get_tensor(key)


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt", device="cpu")
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) is not a complete safetensors file: {error}. "
            "An interrupted download looks like this; fetch the file again"
        ) from error

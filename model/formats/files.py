"""Opens a checkpoint's weights: a single file of any known format, or the shards of a folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from .gguf_file import open_gguf
from .safetensors import open_safetensors
from .scaled import join_scales
from .tensors import CheckpointError, Tensors, list_names, read_json

INDEX_SUFFIX = ".index.json"
SHARD = re.compile(r"-\d{5}-of-\d{5}$")  # ends the stem of one of several files of a model


def open_file(path: Path) -> Tensors:
    """Open one weight file by its suffix; an unknown suffix is read as safetensors.

    A quantised weight and its scales are one tensor. Raises CheckpointError for a file that is truncated or of another
    format.
    """
    return join_scales(_open(path))


def _open(path: Path) -> Tensors:
    return FORMATS.get(path.suffix.lower(), open_safetensors)(path)


def open_folder(folder: Path, *stems: str) -> Tensors:
    """Open the first of ``<stem>.safetensors`` or the shards that ``<stem>.safetensors.index.json`` lists."""
    for stem in stems:
        single = folder / f"{stem}.safetensors"
        index = folder / f"{stem}.safetensors{INDEX_SUFFIX}"
        if single.is_file():
            return open_file(single)
        if index.is_file():
            return _open_shards(index)
    raise CheckpointError(
        f"{folder} has no weights: expected {' or '.join(f'{s}.safetensors' for s in stems)}, "
        f"or the same name with {INDEX_SUFFIX} and its shards; the folder holds {list_names(folder)}"
    )


def _open_shards(index: Path) -> Tensors:
    weights: dict[str, str] = read_json(index).get("weight_map") or {}
    if not isinstance(weights, dict):
        raise CheckpointError(f"{index} holds no table weight_map of tensors and their files; fetch the file again")
    names = sorted(set(weights.values()))
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing or not names:
        raise CheckpointError(f"{index} lists shards that are not there: {', '.join(missing) or 'none listed'}")
    shards = {name: _open(index.parent / name) for name in names}
    absent = [key for key, name in weights.items() if key not in shards[name]]
    if absent:
        raise CheckpointError(f"{index} places {absent[0]} in {weights[absent[0]]}, which does not hold it")
    entries = {key: shards[name].entry(key) for key, name in weights.items()}
    metadata = {key: value for shard in shards.values() for key, value in shard.metadata.items()}
    # A weight and its scales may lie in different shards.
    return join_scales(Tensors(entries, tuple(index.parent / name for name in names), metadata))


FORMATS: dict[str, Callable[[Path], Tensors]] = {".safetensors": open_safetensors, ".gguf": open_gguf}

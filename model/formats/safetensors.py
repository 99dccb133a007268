"""A checkpoint's tensors as a lazy table: names and shapes at once, values one at a time, memory-mapped."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

Shape = tuple[int, ...]
Entry = tuple[Path, str, Shape]  # a file, the tensor's key in it and its shape
INDEX_SUFFIX = ".index.json"


class CheckpointError(ValueError):
    """A checkpoint that can't be used: names the file, what is wrong with it and the remedy."""


class Tensors(Mapping[str, Tensor]):
    """Tensors of one or more safetensors files under one set of names.

    Reading a value maps it from disk; nothing is copied until its format changes. Every value gets a mapping of its
    own, so that the pages of one that was copied go at once and not when the last one is read. ``files`` says where
    they come from.
    """

    def __init__(self, entries: Mapping[str, Entry], files: tuple[Path, ...]) -> None:
        self._entries = dict(entries)
        self.files = files

    def __getitem__(self, name: str) -> Tensor:
        path, key, _ = self._entries[name]
        with _open(path) as file:
            return file.get_tensor(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def shapes(self) -> dict[str, Shape]:
        """Shape of every tensor, without reading any."""
        return {name: shape for name, (_, _, shape) in self._entries.items()}

    def select(self, prefix: str, rename: Callable[[str], str] = str) -> Tensors:
        """The tensors whose name starts with ``prefix``, without it and then renamed."""
        chosen = {
            rename(name[len(prefix) :]): entry for name, entry in self._entries.items() if name.startswith(prefix)
        }
        return Tensors(chosen, self.files)

    def without(self, *names: str) -> Tensors:
        """All but the named tensors."""
        return Tensors({name: entry for name, entry in self._entries.items() if name not in names}, self.files)

    def join(self, other: Tensors) -> Tensors:
        """Both tables as one; the names must not overlap."""
        both = sorted(self._entries.keys() & other._entries.keys())
        if both:
            raise CheckpointError(f"{self.files[0]} and {other.files[0]} both hold {both[0]}")
        return Tensors({**self._entries, **other._entries}, self.files + other.files)


def open_file(path: Path) -> Tensors:
    """Open one safetensors file. A file that is cut off, or is something else, is a CheckpointError."""
    with _open(path) as file:
        shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 - not a mapping
    return Tensors({key: (path, key, shape) for key, shape in shapes.items()}, (path,))


def _open(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt", device="cpu")
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) is not a complete safetensors file: {error}. "
            "An interrupted download looks like this; fetch the file again"
        ) from error


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
        f"or the same name with {INDEX_SUFFIX} and its shards; there is {listing(folder)}"
    )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; a broken one is a CheckpointError."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}; fetch the file again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds a {type(value).__name__}, expected a JSON object")
    return value


def _open_shards(index: Path) -> Tensors:
    weights: dict[str, str] = read_json(index).get("weight_map", {})
    names = sorted(set(weights.values()))
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing or not names:
        raise CheckpointError(f"{index} lists shards that are not there: {', '.join(missing) or 'none listed'}")
    shards = {name: open_file(index.parent / name) for name in names}
    lost = [key for key, name in weights.items() if key not in shards[name]]
    if lost:
        raise CheckpointError(f"{index} puts {lost[0]} into {weights[lost[0]]}, which does not hold it")
    entries = {key: shards[name]._entries[key] for key, name in weights.items()}
    return Tensors(entries, tuple(index.parent / name for name in names))


def listing(folder: Path) -> str:
    """The names in a folder, for messages."""
    names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
    return ", ".join(names[:12]) or "nothing"

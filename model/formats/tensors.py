"""What every weight format shares: a checkpoint's tensors as a lazy table, and the error for unusable files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from .file_kinds import identify, mismatch

Shape = tuple[int, ...]


class CheckpointError(ValueError):
    """A checkpoint that can't be used; names the file, what is wrong with it and the remedy."""


class Entry(NamedTuple):
    """One tensor in a file.

    read: called with the file and the tensor's key in it. dtype: safetensors' name for it ("BF16"). span: first and
    last byte (exclusive) in the file. Both are empty where a format does not store plain numbers.
    """

    path: Path
    key: str
    shape: Shape
    read: Callable[[Path, str], Tensor]
    dtype: str = ""
    span: tuple[int, int] = (0, 0)


class Tensors(Mapping[str, Tensor]):
    """Tensors of one or more files under one set of names.

    Names and shapes are known at once; a value is read each time it is accessed. ``files`` says where they come from.
    """

    def __init__(self, entries: Mapping[str, Entry], files: tuple[Path, ...]) -> None:
        self._entries = dict(entries)
        self.files = files

    def __getitem__(self, name: str) -> Tensor:
        entry = self._entries[name]
        return entry.read(entry.path, entry.key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def entry(self, name: str) -> Entry:
        """Where a tensor lies."""
        return self._entries[name]

    def entries(self) -> dict[str, Entry]:
        """Where every tensor lies."""
        return dict(self._entries)

    def shapes(self) -> dict[str, Shape]:
        """Shape of every tensor, without reading any."""
        return {name: entry.shape for name, entry in self._entries.items()}

    def select(self, prefix: str, rename: Callable[[str], str] = str) -> Tensors:
        """The tensors whose name starts with ``prefix``, with the prefix removed and then renamed."""
        return Tensors(
            {rename(name[len(prefix) :]): entry for name, entry in self._entries.items() if name.startswith(prefix)},
            self.files,
        )

    def without(self, *names: str) -> Tensors:
        """All but the named tensors."""
        return Tensors({name: entry for name, entry in self._entries.items() if name not in names}, self.files)

    def join(self, other: Tensors) -> Tensors:
        """Both tables as one. Raises CheckpointError where they share a name."""
        shared = sorted(self._entries.keys() & other._entries.keys())
        if shared:
            raise CheckpointError(f"{self.files[0]} and {other.files[0]} both hold {shared[0]}")
        return Tensors({**self._entries, **other._entries}, self.files + other.files)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises CheckpointError for anything else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        if identify(path) not in ("json", "text", "unknown"):
            raise CheckpointError(mismatch(path, "a JSON text")) from error
        raise CheckpointError(f"{path} is not valid JSON: {error}; fetch the file again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds a {type(value).__name__}, expected a JSON object")
    return value


def list_names(folder: Path) -> str:
    """The first names in a folder, for messages."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return ", ".join(names[:12]) or "nothing"

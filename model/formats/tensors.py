"""What every weight format shares: a checkpoint's tensors as a lazy table, and the error for unusable files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from .file_kinds import identify, mismatch
from .packed import Packed

Shape = tuple[int, ...]


class CheckpointError(ValueError):
    """A checkpoint that can't be used; names the file, what is wrong with it and the remedy."""


class Entry(NamedTuple):
    """One tensor in a file.

    read: called with the file and the tensor's key in it. dtype: safetensors' or ggml's name for it ("BF16", "Q8_0").
    span: first and last byte (exclusive) in the file. packed: reads it as it is stored, where that is not as plain
    numbers; padding: a matrix may have fewer rows and columns than the shape, by less than this.
    """

    path: Path
    key: str
    shape: Shape
    read: Callable[[Path, str], Tensor]
    dtype: str = ""
    span: tuple[int, int] = (0, 0)
    packed: Callable[[], Packed] | None = None
    padding: int = 1


class Tensors(Mapping[str, Tensor]):
    """Tensors of one or more files under one set of names.

    Names and shapes are known at once; a value is read each time it is accessed, and unpacked where it is stored in
    another form. ``files`` says where they come from, ``metadata`` what else the file says.
    """

    def __init__(
        self, entries: Mapping[str, Entry], files: tuple[Path, ...], metadata: Mapping[str, Any] | None = None
    ) -> None:
        self._entries = dict(entries)
        self.files = files
        self.metadata = metadata or {}

    def __getitem__(self, name: str) -> Tensor:
        entry = self._entries[name]
        packed = self.packed(name)
        value = entry.read(entry.path, entry.key) if packed is None else packed.unpack()
        return value.reshape(entry.shape)

    def packed(self, name: str) -> Packed | None:
        """A tensor as the file stores it; None where that is as plain numbers."""
        entry = self._entries[name]
        if entry.packed is None:
            return None
        packed = entry.packed()
        return packed.cut(entry.shape) if entry.padding > 1 else packed

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
            self.metadata,
        )

    def without(self, *names: str) -> Tensors:
        """All but the named tensors."""
        entries = {name: entry for name, entry in self._entries.items() if name not in names}
        return Tensors(entries, self.files, self.metadata)

    def fit(self, shapes: Mapping[str, Shape]) -> Tensors:
        """With these shapes where the file's differ from them only by padding, or by dimensions of one in front."""
        entries = {
            name: entry._replace(shape=shapes[name]) if name in shapes and _fits(entry, shapes[name]) else entry
            for name, entry in self._entries.items()
        }
        return Tensors(entries, self.files, self.metadata)

    def join(self, other: Tensors) -> Tensors:
        """Both tables as one. Raises CheckpointError where they share a name."""
        shared = sorted(self._entries.keys() & other._entries.keys())
        if shared:
            raise CheckpointError(f"{self.files[0]} and {other.files[0]} both hold {shared[0]}")
        return Tensors(
            {**self._entries, **other._entries}, self.files + other.files, {**self.metadata, **other.metadata}
        )


def _fits(entry: Entry, shape: Shape) -> bool:
    if len(shape) == len(entry.shape):
        return all(0 <= stored - wanted < entry.padding for stored, wanted in zip(entry.shape, shape, strict=True))
    missing = len(shape) - len(entry.shape)
    return missing > 0 and shape == (1,) * missing + entry.shape


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

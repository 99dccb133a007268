"""Writes files that are complete or absent, under names that no other process has."""

from __future__ import annotations

import errno
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .file_names import split_prefix


def write_new(path: str | Path, data: bytes) -> Path:
    """Write a file that appears under its name only when it is complete; returns its absolute path.

    Creates missing folders. An incomplete file is removed. Raises FileExistsError, and never replaces a file; OSError
    for example for a full disk.
    """
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        partial.write_bytes(data)
        _name(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


@contextmanager
def numbered_stem(directory: str | Path, prefix: str) -> Iterator[Path]:
    """The next free `directory/prefix_00001_` in ComfyUI's scheme, for files of any extension.

    Creates missing folders. The number is one above the highest that any file has, and inside the block no other
    process or thread that asks gets the same: an empty hidden file marks it, which works on every file system. One that
    a killed process leaves costs its number and nothing else. prefix: see `split_prefix`, which raises ValueError.
    """
    folders, name = split_prefix(prefix)
    folder = Path(directory).joinpath(*folders)
    folder.mkdir(parents=True, exist_ok=True)
    number = max(_numbers(folder, name), default=0) + 1
    while not _mark(marker := folder / f".{name}_{number:05}_", name, number):
        number += 1
    try:
        yield folder / f"{name}_{number:05}_"
    finally:
        marker.unlink(missing_ok=True)


def _mark(marker: Path, name: str, number: int) -> bool:
    """Mark a number; False if it is marked, or was used before it could be."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    if number in _numbers(marker.parent, name):
        marker.unlink(missing_ok=True)
        return False
    return True


def _numbers(folder: Path, name: str) -> set[int]:
    """The numbers that files have. Upper and lower case count as equal, as some file systems see them."""
    pattern = re.compile(re.escape(name.casefold()) + r"_([0-9]+)_")
    return {int(match[1]) for file in os.listdir(folder) if (match := pattern.match(file.casefold()))}


def _name(partial: Path, path: Path) -> None:
    """Give a complete file its name. Raises FileExistsError."""
    try:
        os.link(partial, path)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):
        # This file system has no hard links. `numbered_stem` still keeps our own processes apart.
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        os.rename(partial, path)

"""Walks folders through links, each folder once, and reads the names that were made there. Standard library only."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple


class Folder(NamedTuple):
    """One folder of a walk. name: relative to the top, with forward slashes, empty for the top itself."""

    path: Path
    name: str
    depth: int
    files: frozenset[str]
    subfolders: tuple[Path, ...]

    def name_of(self, file: str) -> str:
        return f"{self.name}/{file}" if self.name else file


def walk(
    tops: Iterable[Path], enter: Callable[[Folder], bool] = lambda folder: True, depth: int | None = None
) -> Iterator[Folder]:
    """Every folder below the tops that can be read, except hidden ones; near ones first, real ones before links.

    A folder that several links lead to is visited once, and a link to a top or one of its parents is not followed.
    enter: whether to go on to a folder's subfolders. depth: how many levels below the tops are visited; None for all.
    """
    tops = [top for top in tops if top.is_dir()]
    visited = {_identity(folder) for top in tops for folder in (top, *top.resolve().parents)}
    walked = set()
    for top in tops:
        if _identity(top) in walked:
            continue
        walked.add(_identity(top))
        pending = deque([(top, "", 0)])
        while pending:
            path, name, level = pending.popleft()
            folder = _read(path, name, level)
            yield folder
            if level == depth or not enter(folder):
                continue
            for child in folder.subfolders:
                if (identity := _identity(child)) not in visited:
                    visited.add(identity)
                    pending.append((child, folder.name_of(child.name), level + 1))


def resolve(folder: Path, name: str) -> Path | None:
    """The path that a stored name stands for, or None if it leaves the folder or nothing is there.

    Names saved on Windows have backslashes, which elsewhere may be a part of a file's name.
    """
    for spelling in dict.fromkeys((name, name.replace("\\", "/"))):
        relative, windows = PurePosixPath(spelling), PureWindowsPath(spelling)
        if not name or relative.is_absolute() or windows.drive or windows.root or ".." in windows.parts:
            continue
        if (folder / relative).exists():
            return folder / relative
    return None


def _read(path: Path, name: str, depth: int) -> Folder:
    """A folder's content; empty if it can't be read."""
    try:
        with os.scandir(path) as scan:
            entries = sorted(scan, key=lambda entry: (entry.is_symlink(), entry.name))
    except OSError:
        return Folder(path, name, depth, frozenset(), ())
    folders = [entry for entry in entries if _is_folder(entry)]
    files = frozenset(entry.name for entry in entries if entry not in folders)
    subfolders = tuple(Path(entry.path) for entry in folders if not entry.name.startswith("."))
    return Folder(path, name, depth, files, subfolders)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _identity(path: Path) -> object:
    """What a folder is, whatever path leads to it. Some network drives number nothing; there it is its real path."""
    try:
        status = path.stat()
    except OSError:
        return os.path.realpath(path)
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)

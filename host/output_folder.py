"""Whether files can be written to a folder, found out before there are any."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from contextlib import suppress
from pathlib import Path

from .model_folders import data_directory

RESCUED = "acestep-xl-rescued"
_MEBIBYTE = 2**20


def folder_problem(folder: Path, file_name: str, size: int) -> str | None:
    """Why files named like `file_name`, of `size` bytes altogether, cannot be written to a folder; None if they can.

    The folder may be missing. A hidden file is created where its first missing folder would be, and removed: on some
    file systems the permissions alone do not show it.
    """
    folder = folder.absolute()
    existing = _nearest_existing(folder)
    if not existing.is_dir():
        is_link = existing.is_symlink()
        kind = "a link to nowhere" if is_link and not existing.exists() else "a file"
        return f"the output folder {folder} cannot exist, because {existing} is {kind}; choose another folder"
    if problem := _length_problem(folder / file_name, existing):
        return problem
    try:
        _write_probe(existing, file_name, inside=existing == folder)
        free = shutil.disk_usage(existing).free
    except OSError as error:
        return f"the output folder {folder} cannot be written to: {error.strerror}; choose a folder that can be"
    if free < size:
        return (
            f"No space left on device for the output folder {folder}: the files may take {_mebibytes(size)}, "
            f"{_mebibytes(free)} are free; make room or choose another folder"
        )
    return None


def rescue_folders(output: Path) -> list[Path]:
    """Where to keep a file that cannot be written under its name, in order: folders that last before temporary ones."""
    folders = [output]
    with suppress(RuntimeError):  # a user may have no home folder
        folders.append(data_directory() / "rescued")
    return [*folders, Path(tempfile.gettempdir()) / RESCUED]


def _nearest_existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if os.path.lexists(path))


def _length_problem(path: Path, existing: Path) -> str | None:
    if not hasattr(os, "pathconf"):
        return None
    try:
        limit = os.pathconf(existing, "PC_PATH_MAX")
    except (OSError, ValueError):
        return None
    size = len(os.fsencode(path)) + 1  # the system counts the closing zero
    return None if size <= limit else f"the path {str(path)[:60]}... takes {size} bytes, allowed: {limit}; shorten it"


def _write_probe(existing: Path, file_name: str, inside: bool) -> None:
    """Create and remove a file with a name as long as `file_name`; in a folder of its own unless `inside`."""
    name = uuid.uuid4().hex.ljust(len(os.fsencode(file_name)), "x")
    folder = existing if inside else existing / f".{uuid.uuid4().hex}"
    if not inside:
        folder.mkdir()
    try:
        probe = folder / f".{name[1:]}"
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        probe.unlink()
    finally:
        if not inside:
            folder.rmdir()


def _mebibytes(size: int) -> str:
    return f"{size / _MEBIBYTE:.1f} MiB"

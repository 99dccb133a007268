"""The service's folder: created if missing, and readable by its owner only, since requests hold presigned URLs."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

DATABASE, CRASH_TRACE = "tasks.sqlite3", "crash.txt"
SUBFOLDERS = ("results", "media", "work")
OWN_FILES = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", f"{DATABASE}-journal", CRASH_TRACE)
PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600


class FolderUnusable(ValueError):  # noqa: N818 - names the condition
    """The folder cannot hold a queue; the message says why and what helps."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(f"the service cannot use the folder {folder}: {reason}")


def prepare(folder: Path) -> None:
    """Create the folder if it is missing. Raises FolderUnusable."""
    try:
        folder.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
    except OSError as error:
        raise FolderUnusable(folder, _mkdir_problem(folder, error)) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FolderUnusable(folder, "it is read-only; choose a folder that this user may write to")


def restrict(folder: Path) -> None:
    """Take the permissions of others from the folder and what the service keeps in it. Raises FolderUnusable.

    Files of others in it stay as they are, and then the folder itself too: it may be one that others share.
    """
    for name in SUBFOLDERS:
        with suppress(OSError):  # on a full disk; whoever needs the folder tries again
            (folder / name).mkdir(PRIVATE_FOLDER, exist_ok=True)
    if os.name != "posix":
        return
    try:
        if all(path.name in (*OWN_FILES, *SUBFOLDERS) for path in folder.iterdir()):
            _set_mode(folder, PRIVATE_FOLDER)
        for name in OWN_FILES:
            _set_mode(folder / name, PRIVATE_FILE)
        for path, _, files in (entry for name in SUBFOLDERS for entry in os.walk(folder / name)):
            _set_mode(Path(path), PRIVATE_FOLDER)
            for name in files:
                _set_mode(Path(path) / name, PRIVATE_FILE)
    except PermissionError as error:
        raise FolderUnusable(folder, f"{error.filename} belongs to another user; change its owner") from error


def write_private(file: Path, data: bytes) -> None:
    """Write a new file that others can read at no time, where the system has permissions. Raises FileExistsError."""
    with open(file, "xb", opener=lambda path, flags: os.open(path, flags, PRIVATE_FILE)) as opened:
        opened.write(data)


def make_private(file: Path) -> None:
    """Take the permissions of others from a file, where the system has such."""
    if os.name == "posix":
        _set_mode(file, PRIVATE_FILE)


def _mkdir_problem(folder: Path, error: OSError) -> str:
    blocking = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    if blocking.exists() and not blocking.is_dir():
        name = "it" if blocking == folder else str(blocking)
        return f"{name} is a file, not a folder; move the file away, or choose another folder"
    return f"it cannot be created ({error.strerror}); choose a folder that this user may write to"


def _set_mode(path: Path, mode: int) -> None:
    """Nothing is written where the mode is right already, and links are not followed."""
    with suppress(FileNotFoundError):
        current = path.lstat().st_mode
        if not stat.S_ISLNK(current) and stat.S_IMODE(current) != mode:
            path.chmod(mode)

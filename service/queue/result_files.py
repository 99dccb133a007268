"""The folder of finished files."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import time
from pathlib import Path

from ..engine.protocol import DiskFull
from . import retention
from .data_folder import make_private
from .database import TaskDatabase

RESULTS = "results"  # the folder's name, in the service's folder


class ResultFiles:
    """The files of results, as far as the database knows them."""

    def __init__(self, database: TaskDatabase, folder: Path) -> None:
        self.folder = folder
        self._database = database

    async def find(self, audio_uuid: str) -> Path | None:
        """A result's file, None if there is none or it has expired."""
        name = await self._database.transact(retention.find_file, audio_uuid, time.time())
        path = None if name is None else self.folder / name
        return path if path is not None and path.is_file() else None

    async def delete_expired(self) -> None:
        for name in await self._database.transact(retention.expire_files, time.time()):
            (self.folder / name).unlink(missing_ok=True)

    async def delete_uncommitted(self) -> None:
        """Delete what a killed process left behind: files of results that were never committed."""
        committed = await self._database.transact(retention.list_files)
        await asyncio.to_thread(_delete_others, self.folder, committed)


def publish(file: Path, target: Path) -> None:
    """Move a finished file to its final name, durably. Raises DiskFull."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".part")
    try:
        _move(file, partial)
        make_private(partial)
        with partial.open("rb+") as written:
            os.fsync(written.fileno())
        os.replace(partial, target)
        _sync_folder(target.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no room for the result: {error}") from error
        raise


def _move(file: Path, target: Path) -> None:
    try:
        os.replace(file, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        shutil.move(file, target)  # from another file system


def _sync_folder(folder: Path) -> None:
    """A renamed file survives a power cut only if its folder is on the disk too; not every system can sync one."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _delete_others(folder: Path, names: set[str]) -> None:
    for path in folder.glob("*") if folder.is_dir() else ():
        if path.is_file() and path.name not in names:
            path.unlink(missing_ok=True)

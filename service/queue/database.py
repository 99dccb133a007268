"""The database of tasks, results and deliveries: one connection, used by one thread.

A transaction is on the disk when its call returns (WAL with synchronous=FULL). The connection locks the file, so a
second server on the same folder is refused, and a killed server leaves no lock behind.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
Connection = sqlite3.Connection

FILE_NAME = "tasks.sqlite3"
VERSION = 1
LOCK_TIMEOUT = 2.0  # seconds; a server that is stopping may still hold the lock

# number: the order of acceptance. place: a result's index in its task. source: inputs.audio as sent; source_file: its
# path relative to the service's folder, NULL until it is there. answer: the result object without audio, or the error.
# after: the delivery that must end before this one starts. The states are explained in status.py.
SCHEMA = """
CREATE TABLE tasks (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid TEXT NOT NULL UNIQUE COLLATE NOCASE,
    request TEXT NOT NULL,
    base_url TEXT NOT NULL,
    accepted REAL NOT NULL,
    cancelled INTEGER NOT NULL DEFAULT 0,
    source TEXT,
    source_file TEXT
);
CREATE TABLE results (
    task INTEGER NOT NULL REFERENCES tasks (number),
    place INTEGER NOT NULL,
    audio_uuid TEXT NOT NULL UNIQUE COLLATE NOCASE,
    seed INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    started REAL,
    finished REAL,
    expires REAL,
    file TEXT,
    answer TEXT,
    usage TEXT,
    PRIMARY KEY (task, place)
);
CREATE INDEX by_state ON results (state, task, place);
CREATE INDEX expiring ON results (expires) WHERE expires IS NOT NULL;
CREATE INDEX named ON results (file) WHERE file IS NOT NULL;
CREATE TABLE deliveries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    task INTEGER NOT NULL,
    place INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('upload', 'webhook')),
    url TEXT NOT NULL,
    after INTEGER,
    state TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'done', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    created REAL NOT NULL,
    due REAL NOT NULL,
    problem TEXT,
    FOREIGN KEY (task, place) REFERENCES results (task, place)
);
CREATE INDEX waiting ON deliveries (due) WHERE state = 'waiting';
CREATE INDEX given_up ON deliveries (due) WHERE state = 'failed';
CREATE INDEX delivered ON deliveries (task, place);
"""


class FolderInUse(RuntimeError):  # noqa: N818 - names the condition
    """Another server uses this folder."""


class DatabaseDamaged(RuntimeError):  # noqa: N818
    """The database cannot be read."""


class StorageFull(OSError):  # noqa: N818
    """The disk is full; nothing was written."""


class TaskDatabase:
    """An open database. A transaction is a function of the connection and its arguments."""

    def __init__(self, folder: Path) -> None:
        """Open the database in a folder; either is created if missing.

        Raises FolderInUse, DatabaseDamaged, and ValueError for a database of a later version.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._thread = ThreadPoolExecutor(1, "acestep-xl-database")
        try:
            self._connection = self._thread.submit(_open, folder / FILE_NAME).result()
        except BaseException:
            self._thread.shutdown()
            raise

    async def transact(self, work: Callable[..., T], *args: Any) -> T:
        """Run a transaction without blocking the event loop. It completes even if the caller is cancelled."""
        return await asyncio.wrap_future(self._thread.submit(self._transact, work, *args))

    def transact_sync(self, work: Callable[..., T], *args: Any) -> T:
        """Run a transaction from a worker thread. Blocks."""
        return self._thread.submit(self._transact, work, *args).result()

    def close(self) -> None:
        """Wait for running transactions, and close."""
        self._thread.submit(self._connection.close).result()
        self._thread.shutdown()

    def _transact(self, work: Callable[..., T], *args: Any) -> T:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            result = work(self._connection, *args)
            self._connection.execute("COMMIT")
            return result
        except BaseException as error:
            if self._connection.in_transaction:
                with suppress(sqlite3.Error):  # after some errors SQLite has already rolled back
                    self._connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError) and _is_disk_full(error):
                raise StorageFull(f"the disk that holds the service's folder is full or failing: {error}") from error
            raise


def _open(path: Path) -> Connection:
    connection = sqlite3.connect(path, timeout=LOCK_TIMEOUT, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    try:
        # The lock comes first: with it held, WAL needs no memory shared between processes.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _prepare(connection, path)
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.DatabaseError):
            raise _open_error(error, path) from error
        raise
    return connection


def _open_error(error: sqlite3.DatabaseError, path: Path) -> Exception:
    if not isinstance(error, sqlite3.OperationalError):
        return DatabaseDamaged(f"{path} is damaged ({error}): restore it, or move it away to start with an empty queue")
    if "locked" in str(error):
        return FolderInUse(f"another server uses {path.parent}: stop it, or give this one a folder of its own")
    return DatabaseDamaged(f"cannot open {path}: {error}")


def _prepare(connection: Connection, path: Path) -> None:
    connection.execute("BEGIN IMMEDIATE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise ValueError(f"{path} was written by a later version of this program; update it, or use another folder")
    if version == 0:
        for statement in SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def _is_disk_full(error: sqlite3.OperationalError) -> bool:
    return any(message in str(error) for message in ("disk is full", "disk I/O error"))

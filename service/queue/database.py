"""The database of tasks, results and deliveries: one connection, used by one thread of its own.

What a call has written is on the disk when the call returns (WAL with synchronous=FULL). The connection holds the file
for itself, so a second server on the same folder is refused and a killed one leaves nothing locked.
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

NAME = "tasks.sqlite3"
VERSION = 1
# A server that is just stopping is waited for.
PATIENCE = 2.0  # seconds

# number: the order of acceptance. source: inputs.audio as given; source_file: where it lies, relative to the server's
# folder, once it is there. A delivery waits while the one named by `after` waits.
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


class FolderInUse(RuntimeError):  # noqa: N818 - says what the folder is
    """Another server works in this folder."""


class StoreDamaged(RuntimeError):  # noqa: N818
    """The database cannot be read."""


class StorageFull(OSError):  # noqa: N818
    """There is no room to write down what happened."""


class Store:
    """An open database. Work is a function of the connection and further arguments, done as one transaction."""

    def __init__(self, folder: Path) -> None:
        """Open the database of a folder, made where it is missing.

        Raises FolderInUse, StoreDamaged, and ValueError for a database of a later version.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._thread = ThreadPoolExecutor(1, "acestep-xl-store")
        try:
            self._connection = self._thread.submit(_open, folder / NAME).result()
        except BaseException:
            self._thread.shutdown()
            raise

    async def call(self, work: Callable[..., T], *args: Any) -> T:
        """Do the work from an event loop, without holding it up. What was begun is also done when the caller leaves."""
        return await asyncio.wrap_future(self._thread.submit(self._transact, work, *args))

    def ask(self, work: Callable[..., T], *args: Any) -> T:
        """Do the work from any other thread."""
        return self._thread.submit(self._transact, work, *args).result()

    def close(self) -> None:
        """Wait for the work begun, and close."""
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
                with suppress(sqlite3.Error):  # SQLite has rolled back by itself after some faults
                    self._connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError) and _no_room(error):
                raise StorageFull(f"the disk of the service's folder is full or failing: {error}") from error
            raise


def _open(path: Path) -> Connection:
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    try:
        # In this order: with the lock held first, WAL needs no memory shared between processes.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        _prepare(connection, path)
    except sqlite3.OperationalError as error:
        connection.close()
        if "locked" in str(error):
            raise FolderInUse(
                f"another server works in {path.parent}: stop it, or give this one a folder of its own"
            ) from error
        raise StoreDamaged(f"cannot open {path}: {error}") from error
    except sqlite3.DatabaseError as error:
        connection.close()
        raise StoreDamaged(
            f"{path} is damaged ({error}): restore it, or move it away to begin with an empty queue"
        ) from error
    except BaseException:
        connection.close()
        raise
    return connection


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


def _no_room(error: sqlite3.OperationalError) -> bool:
    return any(words in str(error) for words in ("disk is full", "disk I/O error"))

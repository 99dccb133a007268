"""The database of tasks, results and deliveries: one connection, used by one thread.

A transaction is on the disk when its call returns (WAL with synchronous=FULL); those that wait at the same time share
one sync of the disk. The connection locks the file, so a second server on the same folder is refused, and a killed
server leaves no lock behind.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from . import data_folder
from .database_schema import VERSION, prepare

__all__ = ["VERSION", "Connection", "DatabaseDamaged", "FolderInUse", "StorageFull", "TaskDatabase"]

T = TypeVar("T")
Connection = sqlite3.Connection

FILE_NAME = data_folder.DATABASE
LOCK_TIMEOUT = 2.0  # seconds; a server that is stopping may still hold the lock
GROUP = 256  # transactions that share one sync of the disk, at most


class FolderInUse(RuntimeError):  # noqa: N818 - names the condition
    """Another server uses this folder."""


class DatabaseDamaged(RuntimeError):  # noqa: N818
    """The database cannot be read."""


class StorageFull(OSError):  # noqa: N818
    """The disk is full; nothing was written."""


@dataclass
class _Transaction:
    """A waiting call. future: its outcome, once that is on the disk."""

    work: Callable[..., Any]
    args: tuple[Any, ...]
    future: Future[Any] = field(default_factory=Future)


class TaskDatabase:
    """An open database. A transaction is a function of the connection and its arguments; it may run twice, if the first
    time was undone together with others."""

    def __init__(self, folder: Path) -> None:
        """Open the database in a folder; either is created if missing.

        Raises FolderInUse, DatabaseDamaged, data_folder.FolderUnusable, and ValueError for a database of a later
        version.
        """
        data_folder.prepare(folder)
        self._connection = _open(folder / FILE_NAME)
        self._waiting: queue.SimpleQueue[_Transaction | None] = queue.SimpleQueue()
        self._is_open, self._closing = True, threading.Lock()
        self._thread = threading.Thread(target=self._run_all, name="acestep-xl-database", daemon=True)
        self._thread.start()

    async def transact(self, work: Callable[..., T], *args: Any) -> T:
        """Run a transaction without blocking the event loop. It completes even if the caller is cancelled."""
        return await asyncio.wrap_future(self._submit(work, *args))

    def transact_sync(self, work: Callable[..., T], *args: Any) -> T:
        """Run a transaction from a worker thread. Blocks."""
        return self._submit(work, *args).result()

    def close(self) -> None:
        """Wait for waiting transactions, and close."""
        with self._closing:
            self._is_open = False
            self._waiting.put(None)
        self._thread.join()
        self._connection.close()

    def _submit(self, work: Callable[..., T], *args: Any) -> Future[T]:
        transaction = _Transaction(work, args)
        transaction.future.set_running_or_notify_cancel()  # from now on, it cannot be cancelled
        with self._closing:
            if not self._is_open:
                raise RuntimeError("the database is closed")
            self._waiting.put(transaction)
        return transaction.future

    def _run_all(self) -> None:
        """Run transactions as they come, those that wait together as one if possible. Returns at the end mark."""
        while True:
            group, is_last = self._take_group()
            if group and not self._run(group):
                for transaction in group:
                    self._run([transaction])
            if is_last:
                return

    def _take_group(self) -> tuple[list[_Transaction], bool]:
        """What is waiting, at least one, and whether the end mark came after it. Blocks."""
        group: list[_Transaction] = []
        transaction = self._waiting.get()
        with suppress(queue.Empty):
            while transaction is not None:
                group.append(transaction)
                if len(group) == GROUP:
                    break
                transaction = self._waiting.get_nowait()
        return group, transaction is None

    def _run(self, group: Sequence[_Transaction]) -> bool:
        """Run transactions with one commit, and set their outcomes. False, with nothing done, if one of several has
        undone the others or the commit failed."""
        outcomes: list[tuple[Any, BaseException | None]] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for transaction in group:
                outcomes.append(self._outcome(transaction))
                if not self._connection.in_transaction:  # SQLite has undone everything, as it may on a full disk
                    if len(group) > 1:
                        return False
                    break
            else:
                self._connection.execute("COMMIT")
        except BaseException as error:
            self._roll_back("ROLLBACK")
            if len(group) > 1:
                return False
            outcomes = [(None, _storage_error(error))]
        for transaction, (result, error) in zip(group, outcomes, strict=True):
            if error is None:
                transaction.future.set_result(result)
            else:
                transaction.future.set_exception(error)
        return True

    def _outcome(self, transaction: _Transaction) -> tuple[Any, BaseException | None]:
        """Result or error of a transaction, whose changes are undone if it raises."""
        try:
            return self._transact(transaction.work, *transaction.args), None
        except BaseException as error:
            return None, error

    def _transact(self, work: Callable[..., T], *args: Any) -> T:
        """Run one transaction within the open one."""
        self._connection.execute("SAVEPOINT one")
        try:
            result = work(self._connection, *args)
            self._connection.execute("RELEASE one")
            return result
        except BaseException as error:
            self._roll_back("ROLLBACK TO one")
            self._roll_back("RELEASE one")
            converted = _storage_error(error)
            if converted is error:
                raise
            raise converted from error

    def _roll_back(self, statement: str) -> None:
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):  # after some errors SQLite has already rolled back
                self._connection.execute(statement)


def _storage_error(error: BaseException) -> BaseException:
    """The error itself, or StorageFull for a full disk."""
    if not isinstance(error, sqlite3.OperationalError) or not _is_disk_full(error):
        return error
    return StorageFull(f"the disk that holds the service's folder is full or failing: {error}")


def _open(path: Path) -> Connection:
    try:
        connection = sqlite3.connect(path, timeout=LOCK_TIMEOUT, isolation_level=None, check_same_thread=False)
        try:
            _set_up(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.DatabaseError as error:
        raise _open_error(error, path) from error
    return connection


def _set_up(connection: Connection, path: Path) -> None:
    """Lock the file, then bring it up to date and check it."""
    connection.row_factory = sqlite3.Row
    # The lock comes first: with it held, WAL needs no memory shared between processes.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    prepare(connection, path)
    _check_pages(connection)
    data_folder.restrict(path.parent)


def _check_pages(connection: Connection) -> None:
    """Raise DatabaseError if a page is damaged; otherwise the queue starts, and fails at whatever needs that page."""
    (report,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if report != "ok":
        raise sqlite3.DatabaseError(report.replace("\n", " "))


def _open_error(error: sqlite3.DatabaseError, path: Path) -> Exception:
    if not isinstance(error, sqlite3.OperationalError):
        remedy = "restore it, or move it away with the whole folder to start with an empty queue"
        return DatabaseDamaged(f"{path} is damaged ({error}): {remedy}")
    if "locked" in str(error):
        return FolderInUse(f"another server uses {path.parent}: stop it, or give this one a folder of its own")
    if _is_disk_full(error):
        return data_folder.FolderUnusable(path.parent, f"its disk is full or failing ({error}); make room on it")
    return data_folder.FolderUnusable(path.parent, f"{path.name} cannot be opened ({error}); choose another folder")


def _is_disk_full(error: sqlite3.OperationalError) -> bool:
    return any(message in str(error) for message in ("disk is full", "disk I/O error"))

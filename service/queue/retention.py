"""How long things are kept: files of results until they expire, and the sources of unfinished tasks."""

from __future__ import annotations

from pathlib import PurePosixPath

from .database import Connection
from .status import UNFINISHED, DeliveryStatus, Status


def expire_files(connection: Connection, now: float) -> list[str]:
    """Drop the files of expired results from the database, and return their names.

    Files that are still to be delivered, or that an unfinished task has as its source, stay.
    """
    rows = connection.execute(
        "SELECT file FROM results r WHERE expires <= ? AND file IS NOT NULL AND NOT EXISTS "
        "(SELECT 1 FROM deliveries d WHERE d.task = r.task AND d.place = r.place AND d.state = ?)",
        (now, DeliveryStatus.WAITING),
    )
    expired = sorted({row["file"] for row in rows} - source_names(connection))
    connection.executemany(
        "UPDATE results SET file = NULL, expires = NULL WHERE file = ?", [(name,) for name in expired]
    )
    return expired


def find_file(connection: Connection, audio_uuid: str, now: float) -> str | None:
    """The name of a result's file, None if there is no such result or it has expired."""
    row = connection.execute(
        "SELECT file FROM results WHERE audio_uuid = ? AND state = ? AND (expires IS NULL OR expires > ?)",
        (audio_uuid, Status.DONE, now),
    ).fetchone()
    return None if row is None else row["file"]


def list_files(connection: Connection) -> set[str]:
    """The names of the files of all results."""
    return {row["file"] for row in connection.execute("SELECT file FROM results WHERE file IS NOT NULL")}


def source_names(connection: Connection) -> set[str]:
    """The names of the files that unfinished tasks have as their source."""
    rows = connection.execute(
        "SELECT DISTINCT t.source_file FROM results r JOIN tasks t ON t.number = r.task "
        "WHERE r.state IN (?, ?) AND t.source_file IS NOT NULL",
        UNFINISHED,
    )
    return {PurePosixPath(row["source_file"]).name for row in rows}


def move_times(connection: Connection, seconds: float, since: float, until: float) -> None:
    """Move the times at which results expire and deliveries were scheduled, after the clock has jumped, except of those
    that ended between `since` and `until`, by the new clock."""
    connection.execute(
        "UPDATE results SET expires = expires + ? WHERE expires IS NOT NULL AND finished NOT BETWEEN ? AND ?",
        (seconds, since, until),
    )
    connection.execute(
        "UPDATE deliveries SET created = created + ? WHERE state = ? AND created NOT BETWEEN ? AND ?",
        (seconds, DeliveryStatus.WAITING, since, until),
    )

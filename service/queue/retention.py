"""Which files are kept: those of results, until their time is over, and the sources of unfinished tasks."""

from __future__ import annotations

from pathlib import PurePosixPath

from .database import Connection


def expire(connection: Connection, now: float) -> list[str]:
    """Forget the files of results whose time is over, and return their names.

    Those still to be delivered, or the source of an unfinished task, stay.
    """
    rows = connection.execute(
        "SELECT file FROM results r WHERE expires <= ? AND file IS NOT NULL AND NOT EXISTS "
        "(SELECT 1 FROM deliveries d WHERE d.task = r.task AND d.place = r.place AND d.state = 'waiting')",
        (now,),
    )
    over = sorted({row["file"] for row in rows} - sources_in_use(connection))
    connection.executemany("UPDATE results SET file = NULL, expires = NULL WHERE file = ?", [(name,) for name in over])
    return over


def file_of(connection: Connection, audio_uuid: str, now: float) -> str | None:
    """The name of a result's file, None where there is no such result or its time is over."""
    row = connection.execute(
        "SELECT file FROM results WHERE audio_uuid = ? AND state = 'done' AND (expires IS NULL OR expires > ?)",
        (audio_uuid, now),
    ).fetchone()
    return None if row is None else row["file"]


def files(connection: Connection) -> set[str]:
    """The names of all results' files."""
    return {row["file"] for row in connection.execute("SELECT file FROM results WHERE file IS NOT NULL")}


def sources_in_use(connection: Connection) -> set[str]:
    """The names of the files that unfinished tasks are made from."""
    rows = connection.execute(
        "SELECT DISTINCT t.source_file FROM results r JOIN tasks t ON t.number = r.task "
        "WHERE r.state IN ('queued', 'running') AND t.source_file IS NOT NULL"
    )
    return {PurePosixPath(row["source_file"]).name for row in rows}

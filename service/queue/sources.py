"""Tasks that wait for a source to be fetched, as database transactions."""

from __future__ import annotations

from dataclasses import dataclass

from .database import Connection


@dataclass(frozen=True)
class PendingSource:
    """A task whose source is still to be fetched."""

    task_number: int
    task_uuid: str
    url: str


def list_pending(connection: Connection, limit: int) -> list[PendingSource]:
    """Sources to fetch, in the order their tasks were accepted."""
    rows = connection.execute(
        "SELECT number, uuid, source FROM tasks "
        "WHERE unfinished > 0 AND source IS NOT NULL AND source_file IS NULL ORDER BY number LIMIT ?",
        (limit,),
    )
    return [PendingSource(*row) for row in rows]


def set_file(connection: Connection, task_number: int, file: str) -> None:
    """Release a task's jobs: its source is at this path, relative to the service's folder."""
    connection.execute("UPDATE tasks SET source_file = ? WHERE number = ?", (file, task_number))

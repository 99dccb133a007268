"""What happens to tasks and results, as transactions on the store.

The unit of work is one result, named by its task's number and its place in the task. It is queued, then running, then
done or failed, and once it is one of the last two it never changes again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .database import Connection

ATTEMPTS = 3  # a result during which the process died so often is not tried again


class DuplicateTask(ValueError):  # noqa: N818 - says what the task is
    """A task of this UUID was accepted before."""


class QueueFull(ValueError):  # noqa: N818
    """As many tasks are unfinished as may be."""


@dataclass(frozen=True)
class Accepted:
    """A task to write down. results: audio UUID and seed of each. source: inputs.audio, and where it lies if that is
    known already."""

    uuid: str
    request: str
    base_url: str
    results: tuple[tuple[str, int], ...]
    source: str | None = None
    source_file: str | None = None


@dataclass(frozen=True)
class Unit:
    """One result to make. source_file: relative to the server's folder."""

    task: int
    place: int
    task_uuid: str
    audio_uuid: str
    seed: int
    request: str
    base_url: str
    source_file: str | None


@dataclass(frozen=True)
class Source:
    """A task that waits for its source."""

    task: int
    task_uuid: str
    url: str


def accept(connection: Connection, task: Accepted, most: int, now: float) -> None:
    """Put a task at the end of the queue. Raises DuplicateTask and QueueFull."""
    if connection.execute("SELECT 1 FROM tasks WHERE uuid = ?", (task.uuid,)).fetchone():
        raise DuplicateTask(task.uuid)
    if unfinished(connection) >= most:
        raise QueueFull(f"{most} tasks are unfinished")
    columns = (task.uuid, task.request, task.base_url, now, task.source, task.source_file)
    number = connection.execute(
        "INSERT INTO tasks (uuid, request, base_url, accepted, source, source_file) VALUES (?, ?, ?, ?, ?, ?)", columns
    ).lastrowid
    connection.executemany(
        "INSERT INTO results (task, place, audio_uuid, seed) VALUES (?, ?, ?, ?)",
        [(number, place, *result) for place, result in enumerate(task.results)],
    )


def unfinished(connection: Connection) -> int:
    """How many tasks are not finished."""
    query = "SELECT COUNT(DISTINCT task) FROM results WHERE state IN ('queued', 'running')"
    return int(connection.execute(query).fetchone()[0])


def take(connection: Connection, now: float) -> Unit | None:
    """The next result to make, by order of acceptance; a task whose source is not there yet lets others go first."""
    row = connection.execute(
        "SELECT r.task, r.place, t.uuid, r.audio_uuid, r.seed, t.request, t.base_url, t.source_file "
        "FROM results r JOIN tasks t ON t.number = r.task "
        "WHERE r.state = 'queued' AND (t.source IS NULL OR t.source_file IS NOT NULL) "
        "ORDER BY r.task, r.place LIMIT 1"
    ).fetchone()
    if row is None:
        return None
    connection.execute(
        "UPDATE results SET state = 'running', attempts = attempts + 1, started = ? WHERE task = ? AND place = ?",
        (now, row["task"], row["place"]),
    )
    return Unit(*row)


def give_back(connection: Connection, unit: Unit) -> None:
    """Put a result that was not made, through no fault of its own, back where it was in the queue."""
    connection.execute(
        "UPDATE results SET state = 'queued', attempts = attempts - 1, started = NULL "
        "WHERE task = ? AND place = ? AND state = 'running'",
        (unit.task, unit.place),
    )


@dataclass(frozen=True)
class Made:
    """A finished result. file: its name among the results. answer: the result object but for the sound itself. expires:
    when the file goes, or None."""

    file: str
    answer: dict[str, Any]
    usage: dict[str, Any]
    expires: float | None


def finish(connection: Connection, unit: Unit, made: Made, now: float) -> bool:
    """Commit a result, and what has to be delivered of it. False where it was finished in some way before."""
    changed = connection.execute(
        "UPDATE results SET state = 'done', file = ?, answer = ?, usage = ?, expires = ?, finished = ? "
        "WHERE task = ? AND place = ? AND state = 'running'",
        (made.file, json.dumps(made.answer), json.dumps(made.usage), made.expires, now, unit.task, unit.place),
    ).rowcount
    if changed:
        _deliver(connection, unit.task, unit.place, now, made=True)
    return bool(changed)


def fail(connection: Connection, task: int, place: int, error: dict[str, Any], now: float) -> bool:
    """Commit that a result will not be made. False where it was finished in some way before."""
    changed = connection.execute(
        "UPDATE results SET state = 'failed', answer = ?, finished = ? "
        "WHERE task = ? AND place = ? AND state IN ('queued', 'running')",
        (json.dumps(error), now, task, place),
    ).rowcount
    if changed:
        _deliver(connection, task, place, now, made=False)
    return bool(changed)


def cancel(connection: Connection, uuid: str, error: dict[str, Any], now: float) -> bool:
    """Take what is left of a task out of the queue; what is running is left to its worker. False where nothing is."""
    row = connection.execute("SELECT number FROM tasks WHERE uuid = ?", (uuid,)).fetchone()
    if row is None:
        return False
    places = _places(connection, row["number"], ("queued", "running"))
    connection.execute("UPDATE tasks SET cancelled = 1 WHERE number = ?", (row["number"],))
    for place in _places(connection, row["number"], ("queued",)):
        fail(connection, row["number"], place, error, now)
    return bool(places)


def is_cancelled(connection: Connection, task: int) -> bool:
    return bool(connection.execute("SELECT cancelled FROM tasks WHERE number = ?", (task,)).fetchone()[0])


def recover(connection: Connection, crashed: dict[str, Any], cancelled: dict[str, Any], now: float) -> None:
    """After a start: what was running when the process ended is queued again, unless it was cancelled meanwhile or the
    process has died of it too often. crashed, cancelled: the errors of those, to which the task's UUID is added."""
    rows = connection.execute(
        "SELECT r.task, r.place, r.attempts, t.uuid, t.cancelled FROM results r JOIN tasks t ON t.number = r.task "
        "WHERE r.state = 'running'"
    ).fetchall()
    for row in rows:
        if row["cancelled"] or row["attempts"] >= ATTEMPTS:
            error = cancelled if row["cancelled"] else crashed
            fail(connection, row["task"], row["place"], {**error, "taskUUID": row["uuid"]}, now)
    connection.execute("UPDATE results SET state = 'queued', started = NULL WHERE state = 'running'")


def missing_sources(connection: Connection, most: int) -> list[Source]:
    """Tasks whose source has to be fetched, by order of acceptance."""
    rows = connection.execute(
        "SELECT DISTINCT t.number, t.uuid, t.source FROM results r JOIN tasks t ON t.number = r.task "
        "WHERE r.state = 'queued' AND t.source IS NOT NULL AND t.source_file IS NULL ORDER BY r.task LIMIT ?",
        (most,),
    )
    return [Source(*row) for row in rows]


def source_found(connection: Connection, task: int, file: str) -> None:
    connection.execute("UPDATE tasks SET source_file = ? WHERE number = ?", (file, task))


def fail_task(connection: Connection, task: int, error: dict[str, Any], now: float) -> None:
    """Fail every result of a task that nobody has begun."""
    for place in _places(connection, task, ("queued",)):
        fail(connection, task, place, error, now)


def _places(connection: Connection, task: int, states: Sequence[str]) -> list[int]:
    marks = ", ".join("?" * len(states))
    query = f"SELECT place FROM results WHERE task = ? AND state IN ({marks}) ORDER BY place"
    return [row["place"] for row in connection.execute(query, (task, *states))]


def _deliver(connection: Connection, task: int, place: int, now: float, made: bool) -> None:
    """Note the deliveries of a result. An upload waits for the task's earlier ones, which go to the same address, and a
    webhook for the result's upload, so that who is called finds the file there."""
    (request,) = connection.execute("SELECT request FROM tasks WHERE number = ?", (task,)).fetchone()
    asked = json.loads(request)
    uploaded: int | None = None
    if made and asked.get("uploadEndpoint"):
        before = connection.execute(
            "SELECT MAX(number) FROM deliveries WHERE task = ? AND kind = 'upload'", (task,)
        ).fetchone()[0]
        uploaded = _insert(connection, task, place, "upload", asked["uploadEndpoint"], before, now)
    if asked.get("webhookURL"):
        _insert(connection, task, place, "webhook", asked["webhookURL"], uploaded, now)


def _insert(
    connection: Connection, task: int, place: int, kind: str, url: str, after: int | None, now: float
) -> int | None:
    cursor: sqlite3.Cursor = connection.execute(
        "INSERT INTO deliveries (task, place, kind, url, after, created, due) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (task, place, kind, url, after, now, now),
    )
    return cursor.lastrowid

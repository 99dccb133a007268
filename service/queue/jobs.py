"""The life of a job, as database transactions.

A job makes one result: the one at `index` in its task. It is queued, then running, then done or failed, and a final
state never changes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .database import Connection
from .delivery import deliveries
from .status import UNFINISHED, Status

ATTEMPTS = 3  # a job during which the process died this often is not tried again


@dataclass(frozen=True)
class Job:
    """One result to make. source_file: relative to the service's folder."""

    task_number: int
    index: int
    task_uuid: str
    audio_uuid: str
    seed: int
    request: str
    base_url: str
    source_file: str | None


@dataclass(frozen=True)
class JobResult:
    """A published result. file: its name in the results folder. payload: the result object without its audio.
    expires: when the file is deleted, None for never."""

    file: str
    payload: dict[str, Any]
    usage: dict[str, Any]
    expires: float | None


def claim(connection: Connection, now: float) -> Job | None:
    """Mark the first queued job as running, and return it. Jobs whose source has not arrived are skipped."""
    row = connection.execute(
        "SELECT r.task, r.place, t.uuid, r.audio_uuid, r.seed, t.request, t.base_url, t.source_file "
        "FROM results r JOIN tasks t ON t.number = r.task "
        "WHERE r.state = ? AND (t.source IS NULL OR t.source_file IS NOT NULL) "
        "ORDER BY r.task, r.place LIMIT 1",
        (Status.QUEUED,),
    ).fetchone()
    if row is None:
        return None
    connection.execute(
        "UPDATE results SET state = ?, attempts = attempts + 1, started = ? WHERE task = ? AND place = ?",
        (Status.RUNNING, now, row["task"], row["place"]),
    )
    return Job(*row)


def requeue(connection: Connection, job: Job) -> None:
    """Put a job that was stopped back into the queue, at its old position. The attempt does not count."""
    connection.execute(
        "UPDATE results SET state = ?, attempts = attempts - 1, started = NULL "
        "WHERE task = ? AND place = ? AND state = ?",
        (Status.QUEUED, job.task_number, job.index, Status.RUNNING),
    )


def finish(connection: Connection, job: Job, result: JobResult, now: float) -> bool:
    """Commit a result together with its deliveries. Returns False if the job had already ended."""
    payload, usage = json.dumps(result.payload), json.dumps(result.usage)
    key = (job.task_number, job.index, Status.RUNNING)
    changed = connection.execute(
        "UPDATE results SET state = ?, file = ?, answer = ?, usage = ?, expires = ?, finished = ? "
        "WHERE task = ? AND place = ? AND state = ?",
        (Status.DONE, result.file, payload, usage, result.expires, now, *key),
    ).rowcount
    if changed:
        deliveries.schedule(connection, job.task_number, job.index, now, has_file=True)
    return bool(changed)


def fail(connection: Connection, task_number: int, index: int, error: dict[str, Any], now: float) -> bool:
    """Commit an error in place of a result. Returns False if the job had already ended."""
    changed = connection.execute(
        "UPDATE results SET state = ?, answer = ?, finished = ? WHERE task = ? AND place = ? AND state IN (?, ?)",
        (Status.FAILED, json.dumps(error), now, task_number, index, *UNFINISHED),
    ).rowcount
    if changed:
        deliveries.schedule(connection, task_number, index, now, has_file=False)
    return bool(changed)


def fail_queued(connection: Connection, task_number: int, error: dict[str, Any], now: float) -> None:
    """Fail the jobs of a task that no worker has claimed."""
    rows = connection.execute(
        "SELECT place FROM results WHERE task = ? AND state = ? ORDER BY place", (task_number, Status.QUEUED)
    ).fetchall()
    for row in rows:
        fail(connection, task_number, row["place"], error, now)


def cancel(connection: Connection, uuid: str, error: dict[str, Any], now: float) -> bool:
    """Cancel queued jobs; the worker stops a running one. Returns False if none was unfinished."""
    task = connection.execute("SELECT number FROM tasks WHERE uuid = ?", (uuid,)).fetchone()
    if task is None:
        return False
    (unfinished,) = connection.execute(
        "SELECT COUNT(*) FROM results WHERE task = ? AND state IN (?, ?)", (task["number"], *UNFINISHED)
    ).fetchone()
    connection.execute("UPDATE tasks SET cancelled = 1 WHERE number = ?", (task["number"],))
    fail_queued(connection, task["number"], error, now)
    return unfinished > 0


def is_cancelled(connection: Connection, task_number: int) -> bool:
    return bool(connection.execute("SELECT cancelled FROM tasks WHERE number = ?", (task_number,)).fetchone()[0])


def recover(connection: Connection, crashed: dict[str, Any], cancelled: dict[str, Any], now: float) -> None:
    """After a restart, requeue the jobs that were running, except those that were cancelled or have used up their
    attempts. crashed, cancelled: the errors of these, to which the taskUUID is added."""
    rows = connection.execute(
        "SELECT r.task, r.place, r.attempts, t.uuid, t.cancelled FROM results r JOIN tasks t ON t.number = r.task "
        "WHERE r.state = ?",
        (Status.RUNNING,),
    ).fetchall()
    for row in rows:
        if row["cancelled"] or row["attempts"] >= ATTEMPTS:
            error = cancelled if row["cancelled"] else crashed
            fail(connection, row["task"], row["place"], {**error, "taskUUID": row["uuid"]}, now)
    connection.execute("UPDATE results SET state = ?, started = NULL WHERE state = ?", (Status.QUEUED, Status.RUNNING))

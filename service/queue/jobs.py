"""The life of a job, as database transactions.

A job makes one result: the one at `index` in its task. It is queued, then running, then done or failed, and a final
state never changes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .crash_signs import Machine
from .database import Connection
from .delivery import deliveries
from .status import UNFINISHED, Status

ATTEMPTS = 3  # a job during which the process crashed this often is not tried again
# Nor is one during which it ended this often without a sign of why. A job that kills the process in such a way is rare,
# and a power supply or a service manager that ends a long song again and again is not.
UNEXPLAINED = 50
UNKNOWN = Machine()


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


def claim(connection: Connection, now: float, machine: Machine = UNKNOWN) -> Job | None:
    """Mark the first queued job as running, and return it. machine: where it runs.

    Jobs whose source has not arrived are skipped. One during which the process ended more than once without a sign of
    why lets the others go first, so that it can hold up nobody if it is to blame.
    """
    row = _first_queued(connection, "AND r.attempts - r.crashes < 2") or _first_queued(connection, "")
    if row is None:
        return None
    connection.execute(
        # This transaction may have waited for the one that accepted the task, and `now` be from before.
        "UPDATE results SET state = ?, attempts = attempts + 1, "
        "started = MAX(?, (SELECT accepted FROM tasks WHERE number = task)) WHERE task = ? AND place = ?",
        (Status.RUNNING, now, row["task"], row["place"]),
    )
    connection.execute("DELETE FROM process")
    connection.execute("INSERT INTO process VALUES (?, ?)", (machine.boot, machine.memory_kills))
    return Job(*row)


def _first_queued(connection: Connection, condition: str) -> Any:
    return connection.execute(
        "SELECT r.task, r.place, t.uuid, r.audio_uuid, r.seed, t.request, t.base_url, t.source_file "
        "FROM results r JOIN tasks t ON t.number = r.task "
        f"WHERE r.state = ? AND (t.source IS NULL OR t.source_file IS NOT NULL) {condition} "
        "ORDER BY r.task, r.place LIMIT 1",
        (Status.QUEUED,),
    ).fetchone()


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
        _count_down(connection, job.task_number)
        deliveries.schedule(connection, job.task_number, job.index, now, has_file=True)
    return bool(changed)


def fail(connection: Connection, task_number: int, index: int, error: dict[str, Any], now: float) -> bool:
    """Commit an error in place of a result. Returns False if the job had already ended."""
    changed = connection.execute(
        "UPDATE results SET state = ?, answer = ?, finished = ? WHERE task = ? AND place = ? AND state IN (?, ?)",
        (Status.FAILED, json.dumps(error), now, task_number, index, *UNFINISHED),
    ).rowcount
    if changed:
        _count_down(connection, task_number)
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


def settle_stopped(connection: Connection, job: Job, cancelled: dict[str, Any], now: float) -> None:
    """Fail a job that was stopped because its task was cancelled; requeue it if the server is stopping."""
    row = connection.execute("SELECT cancelled FROM tasks WHERE number = ?", (job.task_number,)).fetchone()
    if row["cancelled"]:
        fail(connection, job.task_number, job.index, cancelled, now)
    else:
        requeue(connection, job)


def recover(
    connection: Connection,
    crashed: dict[str, Any],
    cancelled: dict[str, Any],
    now: float,
    trace: str = "",
    machine: Machine = UNKNOWN,
) -> None:
    """After a restart, requeue the jobs that were running, except those that were cancelled or have used up their
    attempts. crashed, cancelled: the errors of these, to which the taskUUID is added. trace: that the last process
    left. machine: as it is now.

    A restart of the machine counts as no attempt. A crash counts if it left a trace or if the machine has killed a
    process for memory since.
    """
    row = connection.execute("SELECT boot, memory_kills FROM process").fetchone()
    last = UNKNOWN if row is None else Machine(*row)
    restarted = last.boot != machine.boot
    has_crashed = bool(trace) or (not restarted and machine.memory_kills > last.memory_kills)
    connection.execute(
        "UPDATE results SET attempts = attempts - ?, crashes = crashes + ? WHERE state = ?",
        (restarted and not has_crashed, has_crashed, Status.RUNNING),
    )
    rows = connection.execute(
        "SELECT r.task, r.place, t.uuid, t.cancelled FROM results r JOIN tasks t ON t.number = r.task "
        "WHERE r.state = ? AND (t.cancelled OR r.crashes >= ? OR r.attempts - r.crashes >= ?)",
        (Status.RUNNING, ATTEMPTS, UNEXPLAINED),
    ).fetchall()
    for row in rows:
        error = cancelled if row["cancelled"] else crashed
        fail(connection, row["task"], row["place"], {**error, "taskUUID": row["uuid"]}, now)
    connection.execute("UPDATE results SET state = ?, started = NULL WHERE state = ?", (Status.QUEUED, Status.RUNNING))


def _count_down(connection: Connection, task_number: int) -> None:
    connection.execute("UPDATE tasks SET unfinished = unfinished - 1 WHERE number = ?", (task_number,))

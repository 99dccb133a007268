"""Uploads and webhook calls, as database transactions."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ..database import Connection
from ..database_schema import host_of
from ..status import DeliveryStatus, Status

UPLOAD, WEBHOOK = "upload", "webhook"
# A delivery that comes after none, or whose predecessor has ended.
UNBLOCKED = "NOT EXISTS (SELECT 1 FROM deliveries b WHERE b.number = d.after AND b.state = 'waiting')"


@dataclass(frozen=True)
class Delivery:
    """One thing to send. payload: the result object without its audio, or the error. attempts: made so far. created:
    when the result ended. due: when this attempt was."""

    number: int
    kind: str
    url: str
    host: str
    attempts: int
    created: float
    due: float
    failed: bool
    file: str | None
    payload: dict[str, Any]


@dataclass(frozen=True)
class DeliveryRecord:
    """A row of `deliveries`. index: of its result. due: when it is or was next attempted."""

    index: int
    kind: str
    url: str
    status: DeliveryStatus
    attempts: int
    due: float
    problem: str | None


def schedule(connection: Connection, task_number: int, index: int, now: float, *, has_file: bool) -> None:
    """Add the deliveries of a result.

    An upload comes after the task's earlier ones, since they go to the same address, and a webhook after the result's
    upload, so that the receiver finds the file in place.
    """
    (text,) = connection.execute("SELECT request FROM tasks WHERE number = ?", (task_number,)).fetchone()
    request = json.loads(text)
    upload: int | None = None
    if has_file and request.get("uploadEndpoint"):
        (previous,) = connection.execute(
            "SELECT MAX(number) FROM deliveries WHERE task = ? AND kind = ?", (task_number, UPLOAD)
        ).fetchone()
        upload = _insert(connection, task_number, index, UPLOAD, request["uploadEndpoint"], previous, now)
    if request.get("webhookURL"):
        _insert(connection, task_number, index, WEBHOOK, request["webhookURL"], upload, now)


def list_hosts(connection: Connection) -> list[tuple[str, str]]:
    """Kind and host of every waiting delivery, each pair once."""
    rows = connection.execute("SELECT DISTINCT kind, host FROM deliveries WHERE state = 'waiting'")
    return [(row["kind"], row["host"]) for row in rows]


def list_due(
    connection: Connection, now: float, room: Mapping[tuple[str, str], int], running: Collection[int], longest: float
) -> list[Delivery]:
    """Unblocked deliveries that are due, the longest overdue first. room: how many at most, by kind and host. running:
    the numbers to leave out.

    longest: seconds that any delivery waits. One that is due later was postponed while the clock was ahead.
    """
    numbers = [
        row["number"]
        for (kind, host), limit in room.items()
        if limit > 0
        for row in connection.execute(
            "SELECT d.number FROM deliveries d WHERE d.state = 'waiting' AND d.kind = ? AND d.host = ? "
            f"AND (d.due <= ? OR d.due > ?) AND {UNBLOCKED} ORDER BY d.due, d.number LIMIT ?",
            (kind, host, now, now + longest, limit + len(running)),
        )
    ]
    due = [_read(connection, number) for number in numbers if number not in running]
    return sorted(due, key=lambda delivery: (delivery.due, delivery.number))


def next_due(connection: Connection, now: float) -> float | None:
    """When the next unblocked delivery is due that is not due yet, None if there is none."""
    row = connection.execute(
        "SELECT d.due FROM deliveries d "
        f"WHERE d.state = 'waiting' AND d.due > ? AND {UNBLOCKED} ORDER BY d.due LIMIT 1",
        (now,),
    ).fetchone()
    return None if row is None else row["due"]


def creation_time(connection: Connection, number: int) -> float:
    """When its result ended, by the clock as it is now."""
    return connection.execute("SELECT created FROM deliveries WHERE number = ?", (number,)).fetchone()["created"]


def complete(connection: Connection, number: int) -> None:
    """Record that the receiver accepted it."""
    connection.execute(
        "UPDATE deliveries SET state = ?, attempts = attempts + 1, problem = NULL WHERE number = ?",
        (DeliveryStatus.DONE, number),
    )


def postpone(connection: Connection, number: int, due: float, problem: str) -> None:
    """Record a failed attempt, and when the next one is due."""
    connection.execute(
        "UPDATE deliveries SET due = ?, attempts = attempts + 1, problem = ? WHERE number = ?", (due, problem, number)
    )


def give_up(connection: Connection, number: int, problem: str) -> None:
    """Record a failed attempt that was the last."""
    connection.execute(
        "UPDATE deliveries SET state = ?, attempts = attempts + 1, problem = ? WHERE number = ?",
        (DeliveryStatus.FAILED, problem, number),
    )


def list_of_task(connection: Connection, task_number: int) -> list[DeliveryRecord]:
    """A task's deliveries, in the order they were scheduled."""
    rows = connection.execute(
        "SELECT place, kind, url, state, attempts, due, problem FROM deliveries WHERE task = ? ORDER BY number",
        (task_number,),
    )
    return [
        DeliveryRecord(place, kind, url, DeliveryStatus(state), attempts, due, problem)
        for place, kind, url, state, attempts, due, problem in rows
    ]


def _insert(
    connection: Connection, task_number: int, index: int, kind: str, url: str, after: int | None, now: float
) -> int | None:
    return connection.execute(
        "INSERT INTO deliveries (task, place, kind, url, host, after, created, due) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (task_number, index, kind, url, host_of(url), after, now, now),
    ).lastrowid


def _read(connection: Connection, number: int) -> Delivery:
    row = connection.execute(
        "SELECT d.number, d.kind, d.url, d.host, d.attempts, d.created, d.due, r.state, r.file, r.answer "
        "FROM deliveries d JOIN results r ON r.task = d.task AND r.place = d.place WHERE d.number = ?",
        (number,),
    ).fetchone()
    failed = Status(row["state"]) is Status.FAILED
    return Delivery(*row[:7], failed=failed, file=row["file"], payload=json.loads(row["answer"]))

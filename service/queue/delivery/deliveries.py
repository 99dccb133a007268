"""Uploads and webhook calls, as database transactions."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ..database import Connection
from ..database_schema import host_of
from ..status import DeliveryStatus, Status

UPLOAD, WEBHOOK = "upload", "webhook"
# A delivery that comes after none, or whose predecessor has ended. Takes DeliveryStatus.WAITING as its parameter.
UNBLOCKED = "NOT EXISTS (SELECT 1 FROM deliveries b WHERE b.number = d.after AND b.state = ?)"


@dataclass(frozen=True)
class Delivery:
    """One thing to send. payload: the result object without its audio, or the error. attempts: made so far. created:
    when the result ended."""

    number: int
    kind: str
    url: str
    attempts: int
    created: float
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


def list_due(connection: Connection, now: float, limit: int, running: Collection[int]) -> list[Delivery]:
    """Unblocked deliveries that are due, the longest overdue first. running: the numbers to leave out."""
    rows = connection.execute(
        "SELECT d.number, d.kind, d.url, d.attempts, d.created, r.state, r.file, r.answer "
        "FROM deliveries d JOIN results r ON r.task = d.task AND r.place = d.place "
        f"WHERE d.state = ? AND d.due <= ? AND {UNBLOCKED} ORDER BY d.due, d.number LIMIT ?",
        (DeliveryStatus.WAITING, now, DeliveryStatus.WAITING, limit + len(running)),
    ).fetchall()
    due = [
        Delivery(*row[:5], failed=Status(row["state"]) is Status.FAILED, file=row["file"], payload=json.loads(row[7]))
        for row in rows
        if row["number"] not in running
    ]
    return due[:limit]


def next_due(connection: Connection, running: Collection[int]) -> float | None:
    """When the next unblocked delivery is due, None if there is none. running: the numbers to leave out."""
    rows = connection.execute(
        f"SELECT d.number, d.due FROM deliveries d WHERE d.state = ? AND {UNBLOCKED} ORDER BY d.due LIMIT ?",
        (DeliveryStatus.WAITING, DeliveryStatus.WAITING, 1 + len(running)),
    )
    return next((row["due"] for row in rows if row["number"] not in running), None)


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

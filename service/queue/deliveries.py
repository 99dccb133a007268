"""The deliveries that the store remembers, as transactions: which are due, and what became of them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from .database import Connection

FREE = "NOT EXISTS (SELECT 1 FROM deliveries b WHERE b.number = d.after AND b.state = 'waiting')"


@dataclass(frozen=True)
class Delivery:
    """One thing to send. answer: the result object or error. attempts: made so far. created: when it was put down."""

    number: int
    kind: str
    url: str
    attempts: int
    created: float
    failed: bool
    file: str | None
    answer: dict[str, Any]


def due(connection: Connection, now: float, most: int, underway: Collection[int]) -> list[Delivery]:
    """Deliveries whose time has come and that wait for no other, the longest waiting first, without those underway."""
    rows = connection.execute(
        "SELECT d.number, d.kind, d.url, d.attempts, d.created, r.state = 'failed', r.file, r.answer "
        "FROM deliveries d JOIN results r ON r.task = d.task AND r.place = d.place "
        f"WHERE d.state = 'waiting' AND d.due <= ? AND {FREE} ORDER BY d.due, d.number LIMIT ?",
        (now, most + len(underway)),
    ).fetchall()
    found = [
        Delivery(*row[:5], failed=bool(row[5]), file=row[6], answer=json.loads(row[7]))
        for row in rows
        if row["number"] not in underway
    ]
    return found[:most]


def next_due(connection: Connection, underway: Collection[int]) -> float | None:
    """When the next delivery that waits for no other is due, or None where there is none."""
    rows = connection.execute(
        f"SELECT d.number, d.due FROM deliveries d WHERE d.state = 'waiting' AND {FREE} ORDER BY d.due LIMIT ?",
        (1 + len(underway),),
    )
    return next((row["due"] for row in rows if row["number"] not in underway), None)


def delivered(connection: Connection, number: int) -> None:
    """Note that it has arrived."""
    connection.execute(
        "UPDATE deliveries SET state = 'done', attempts = attempts + 1, problem = NULL WHERE number = ?", (number,)
    )


def postpone(connection: Connection, number: int, until: float, problem: str) -> None:
    """Note an attempt that failed, and when the next one is due."""
    connection.execute(
        "UPDATE deliveries SET due = ?, attempts = attempts + 1, problem = ? WHERE number = ?", (until, problem, number)
    )


def give_up(connection: Connection, number: int, problem: str) -> None:
    """Note that it will not be tried again, and why."""
    connection.execute(
        "UPDATE deliveries SET state = 'failed', attempts = attempts + 1, problem = ? WHERE number = ?",
        (problem, number),
    )


def of_task(connection: Connection, task: int) -> list[sqlite3.Row]:
    """A task's deliveries in the order they were put down."""
    return connection.execute("SELECT * FROM deliveries WHERE task = ? ORDER BY number", (task,)).fetchall()

"""The queue as people look at it: what is unfinished, and finished tasks whose deliveries are not."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...transfer.errors import redacted
from . import results
from .database import Connection
from .results import Progress, Told

MOST = 200  # tasks shown
SHOWN = 120  # characters of a prompt
LATELY = 24 * 3600.0  # seconds that a delivery which was given up is shown


@dataclass(frozen=True)
class Found:
    """A task with its results and deliveries."""

    told: Told
    deliveries: list[sqlite3.Row]


def read(connection: Connection, now: float) -> list[Found]:
    """Unfinished tasks first, in the order of the queue; then those with deliveries that wait, or that were given up
    lately, the last first."""
    unfinished = connection.execute(
        "SELECT DISTINCT task FROM results WHERE state IN ('queued', 'running') ORDER BY task LIMIT ?", (MOST,)
    ).fetchall()
    troubled = connection.execute(
        "SELECT DISTINCT task FROM deliveries WHERE state = 'waiting' OR (state = 'failed' AND due > ?) "
        "ORDER BY task DESC LIMIT ?",
        (now - LATELY, MOST),
    ).fetchall()
    wanted = dict.fromkeys(row["task"] for row in (*unfinished, *troubled))
    return [_found(connection, number) for number in list(wanted)[:MOST]]


def entry(found: Found, progress: Progress, problems: Sequence[str]) -> dict[str, Any]:
    """One line of the overview. problems: why nothing is being made just now."""
    task, rows = found.told.task, found.told.results
    states = [row["state"] for row in rows]
    running, status = "running" in states, results.status(found.told)
    open_deliveries = [row for row in found.deliveries if row["state"] != "done"]
    missing = status == "processing" and task["source"] is not None and task["source_file"] is None
    held = [f"its source is fetched from {redacted(task['source'])}"] if missing else []
    shown = {
        "taskUUID": task["uuid"],
        "status": "queued" if status == "processing" and not (running or "done" in states) else status,
        "progress": results.percent(found.told, progress),
        "accepted": results.moment(task["accepted"]),
        "positivePrompt": json.loads(task["request"])["positivePrompt"][:SHOWN],
        "numberResults": len(rows),
        "finishedResults": sum(state in results.ENDS for state in states),
        "deliveries": [results.delivery_details(row) for row in open_deliveries],
        "problem": "; ".join([*held, *(problems if status == "processing" else ())]) or None,
    }
    return {name: value for name, value in shown.items() if value not in (None, [])}


def _found(connection: Connection, number: int) -> Found:
    task = connection.execute("SELECT * FROM tasks WHERE number = ?", (number,)).fetchone()
    rows = connection.execute("SELECT * FROM results WHERE task = ? ORDER BY place", (number,)).fetchall()
    sent = connection.execute("SELECT * FROM deliveries WHERE task = ? ORDER BY number", (number,)).fetchall()
    return Found(Told(task, rows), sent)

"""The queue as the page shows it: unfinished tasks, and finished ones with open deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...transfer.errors import redacted
from .database import Connection
from .delivery import deliveries
from .delivery.deliveries import DeliveryRecord
from .status import UNFINISHED, DeliveryStatus, Status
from .task_record import Progress, TaskRecord, read_task
from .task_state import delivery_details, iso_time

MAX_ENTRIES = 200
PROMPT_LENGTH = 120  # characters of a prompt that are shown
FAILED_SECONDS = 24 * 3600.0  # how long a failed delivery is shown


@dataclass(frozen=True)
class QueueEntry:
    """A task with its deliveries."""

    task: TaskRecord
    deliveries: list[DeliveryRecord]


def read_queue(connection: Connection, now: float) -> list[QueueEntry]:
    """Unfinished tasks, first in line first, then those with deliveries that wait or failed recently, newest first."""
    unfinished = connection.execute(
        "SELECT DISTINCT task FROM results WHERE state IN (?, ?) ORDER BY task LIMIT ?", (*UNFINISHED, MAX_ENTRIES)
    ).fetchall()
    undelivered = connection.execute(
        "SELECT DISTINCT task FROM deliveries WHERE state = ? OR (state = ? AND due > ?) ORDER BY task DESC LIMIT ?",
        (DeliveryStatus.WAITING, DeliveryStatus.FAILED, now - FAILED_SECONDS, MAX_ENTRIES),
    ).fetchall()
    numbers = list(dict.fromkeys(row["task"] for row in (*unfinished, *undelivered)))[:MAX_ENTRIES]
    return [QueueEntry(read_task(connection, n), deliveries.list_of_task(connection, n)) for n in numbers]


def entry_object(entry: QueueEntry, progress: Progress, problems: Sequence[str]) -> dict[str, Any]:
    """One entry in the API's shape. problems: why no job can run at present."""
    task = entry.task
    shown = {
        "taskUUID": task.uuid,
        "status": _status(task),
        "progress": task.percent(progress),
        "accepted": iso_time(task.accepted),
        "positivePrompt": task.request["positivePrompt"][:PROMPT_LENGTH],
        "numberResults": len(task.results),
        "finishedResults": sum(result.status.is_final for result in task.results),
        "deliveries": [delivery_details(d) for d in entry.deliveries if d.status is not DeliveryStatus.DONE],
        "problem": None if task.is_finished else "; ".join([*_source_problem(task), *problems]) or None,
    }
    return {name: value for name, value in shown.items() if value not in (None, [])}


def _status(task: TaskRecord) -> str:
    """As in getResponse, but "queued" for a task that has not started."""
    started = any(result.status in (Status.RUNNING, Status.DONE) for result in task.results)
    return "queued" if not task.is_finished and not started else task.status


def _source_problem(task: TaskRecord) -> list[str]:
    waits = task.source is not None and task.source_file is None
    return [f"its source is being fetched from {redacted(task.source or '')}"] if waits else []

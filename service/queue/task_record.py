"""Tasks and their results, as the database has them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .database import Connection
from .status import Status

Progress = Mapping[tuple[str, int], float]  # share done of running jobs, by task UUID and index
API_STATUS = {Status.DONE: "success", Status.FAILED: "error"}
PROCESSING = "processing"
TASK_TYPE = "audioInference"  # of every task in the queue


@dataclass(frozen=True)
class ResultRecord:
    """A row of `results`. index: in its task. payload: the result object without its audio, or the error."""

    index: int
    audio_uuid: str
    seed: int
    status: Status
    attempts: int
    started: float | None
    finished: float | None
    payload: dict[str, Any]
    usage: dict[str, Any] | None
    file: str | None
    expires: float | None


@dataclass(frozen=True)
class TaskRecord:
    """A row of `tasks`, with its results in order. source: inputs.audio. source_file: its path, None until it is
    there."""

    number: int
    uuid: str
    request: dict[str, Any]
    accepted: float
    source: str | None
    source_file: str | None
    results: tuple[ResultRecord, ...]

    @property
    def is_finished(self) -> bool:
        return all(result.status.is_final for result in self.results)

    @property
    def status(self) -> str:
        """In the API's words: "processing", then "success", or "error" if a result failed."""
        if not self.is_finished:
            return PROCESSING
        return API_STATUS[Status.FAILED if any(r.status is Status.FAILED for r in self.results) else Status.DONE]

    def percent(self, progress: Progress) -> int:
        """Progress of the whole task; 100 only once it is finished."""
        return int(100 * sum(self.share(result, progress) for result in self.results) / len(self.results))

    def share(self, result: ResultRecord, progress: Progress) -> float:
        """Progress of one result, 0 to 1."""
        return 1.0 if result.status.is_final else min(progress.get((self.uuid, result.index), 0.0), 0.99)


def find_task(connection: Connection, uuid: str) -> TaskRecord | None:
    row = connection.execute("SELECT * FROM tasks WHERE uuid = ?", (uuid,)).fetchone()
    return None if row is None else _task(connection, row)


def read_task(connection: Connection, number: int) -> TaskRecord:
    """The task of a number that exists."""
    return _task(connection, connection.execute("SELECT * FROM tasks WHERE number = ?", (number,)).fetchone())


def _task(connection: Connection, row: sqlite3.Row) -> TaskRecord:
    results = connection.execute("SELECT * FROM results WHERE task = ? ORDER BY place", (row["number"],))
    return TaskRecord(
        number=row["number"],
        uuid=row["uuid"],
        request=json.loads(row["request"]),
        accepted=row["accepted"],
        source=row["source"],
        source_file=row["source_file"],
        results=tuple(_result(result) for result in results),
    )


def _result(row: sqlite3.Row) -> ResultRecord:
    return ResultRecord(
        index=row["place"],
        audio_uuid=row["audio_uuid"],
        seed=row["seed"],
        status=Status(row["state"]),
        attempts=row["attempts"],
        started=row["started"],
        finished=row["finished"],
        payload=json.loads(row["answer"] or "{}"),
        usage=json.loads(row["usage"]) if row["usage"] else None,
        file=row["file"],
        expires=row["expires"],
    )

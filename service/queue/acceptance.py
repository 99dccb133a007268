"""Accepts tasks: each is in the database, with its seeds and audio UUIDs, before the client gets an answer."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ..schema.errors import ApiError
from ..schema.task import Task
from ..settings import ServiceSettings
from . import task_errors
from .database import Connection, StorageFull, TaskDatabase
from .result_files import ResultFiles
from .source_fetcher import RecordingStore

Refusal = tuple[ApiError, ...]
SEEDS = 2**31  # the range of `seed` in requests, so that a random seed can be sent again


class Outcome(Enum):
    """What became of a task that was to be accepted."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"  # a task of this UUID was accepted before
    QUEUE_FULL = "queue full"  # as many tasks are unfinished as the limit allows


@dataclass(frozen=True)
class NewTask:
    """A task to insert. results: audio UUID and seed of each. source: inputs.audio. source_file: its path relative to
    the service's folder, None for a source that is still to be fetched."""

    uuid: str
    request: str
    base_url: str
    results: tuple[tuple[str, int], ...]
    source: str | None = None
    source_file: str | None = None


class Room:
    """How many tasks still fit into the queue, at least. limit: of unfinished tasks. Used by the database's thread.

    Counting them takes time in proportion to their number, so it is done only when the places that were free at the
    last count may be used up. A transaction that is undone, or runs twice, only makes that earlier.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._free = limit, 0

    def take(self, connection: Connection) -> bool:
        """Take a place for one task. Returns False if the queue is full."""
        if self._free <= 0:
            (unfinished,) = connection.execute("SELECT COUNT(*) FROM tasks WHERE unfinished > 0").fetchone()
            self._free = self._limit - unfinished
        if self._free <= 0:
            return False
        self._free -= 1
        return True


class Acceptance:
    """Accepts tasks into the queue of a folder, or refuses them."""

    def __init__(
        self,
        database: TaskDatabase,
        recordings: RecordingStore,
        files: ResultFiles,
        folder: Path,
        settings: ServiceSettings,
    ) -> None:
        self._database, self._recordings, self._files = database, recordings, files
        self._folder, self._limit, self._room = folder, settings.max_queue, Room(settings.max_queue)

    async def accept(self, tasks: Sequence[Task], base_url: str) -> list[Refusal | None]:
        """Insert tasks in their order, in one transaction. Returns for each why it was refused, None if it was
        accepted. base_url: of the URLs of their results."""
        files = await self._find_files(task.value("inputs.audio") for task in tasks)
        plans = [_plan_task(task, files, base_url.rstrip("/")) for task in tasks]
        outcomes = iter(await self._insert([plan for plan in plans if isinstance(plan, NewTask)]))
        return [
            self._refusal(task, next(outcomes)) if isinstance(plan, NewTask) else plan
            for task, plan in zip(tasks, plans, strict=True)
        ]

    async def _find_files(self, sources: Iterable[str | None]) -> dict[str, str]:
        """The paths, relative to the folder, of those sources that are UUIDs of uploads or results."""
        uuids = sorted({source for source in sources if source is not None and "://" not in source})
        paths = await asyncio.gather(*(self._find_file(uuid) for uuid in uuids))
        return {
            uuid: path.relative_to(self._folder).as_posix()
            for uuid, path in zip(uuids, paths, strict=True)
            if path is not None
        }

    async def _find_file(self, uuid: str) -> Path | None:
        return await asyncio.to_thread(self._recordings.find, uuid) or await self._files.find(uuid)

    async def _insert(self, plans: Sequence[NewTask]) -> Sequence[Outcome | StorageFull]:
        if not plans:
            return ()
        try:
            return await self._database.transact(insert_tasks, plans, self._room, time.time())
        except StorageFull as error:
            return [error] * len(plans)

    def _refusal(self, task: Task, outcome: Outcome | StorageFull) -> Refusal | None:
        if isinstance(outcome, StorageFull):
            return (task_errors.storage_full_error(outcome, task),)
        if outcome is Outcome.DUPLICATE:
            return (task_errors.duplicate_error(task),)
        if outcome is Outcome.QUEUE_FULL:
            return (task_errors.queue_full_error(self._limit, task),)
        return None


def insert_tasks(connection: Connection, tasks: Sequence[NewTask], room: Room, now: float) -> list[Outcome]:
    """Append tasks to the queue, as far as they fit. Returns the outcome of each."""
    return [_insert(connection, task, room, now) for task in tasks]


def _insert(connection: Connection, task: NewTask, room: Room, now: float) -> Outcome:
    if connection.execute("SELECT 1 FROM tasks WHERE uuid = ?", (task.uuid,)).fetchone():
        return Outcome.DUPLICATE
    if not room.take(connection):
        return Outcome.QUEUE_FULL
    number = connection.execute(
        "INSERT INTO tasks (uuid, request, base_url, accepted, source, source_file, unfinished) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (task.uuid, task.request, task.base_url, now, task.source, task.source_file, len(task.results)),
    ).lastrowid
    connection.executemany(
        "INSERT INTO results (task, place, audio_uuid, seed) VALUES (?, ?, ?, ?)",
        [(number, index, *result) for index, result in enumerate(task.results)],
    )
    return Outcome.ACCEPTED


def _plan_task(task: Task, files: Mapping[str, str], base_url: str) -> NewTask | Refusal:
    """files: paths of uploads and results by UUID, relative to the service's folder."""
    source = task.value("inputs.audio")
    file = files.get(source)
    if source is not None and file is None and "://" not in source:
        return (task_errors.source_error(f"no upload and no result has the UUID {source}", task.task_uuid),)
    return NewTask(task.task_uuid, json.dumps(task.to_json()), base_url, _plan_results(task), source, file)


def _plan_results(task: Task) -> tuple[tuple[str, int], ...]:
    """Audio UUID and seed of each result: the seeds count up from the task's, or from a random one."""
    seed = task.value("seed")
    first = secrets.randbelow(SEEDS) if seed is None else seed
    return tuple((str(uuid.uuid4()), (first + index) % SEEDS) for index in range(task.value("numberResults")))

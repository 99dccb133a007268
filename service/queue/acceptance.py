"""Accepts tasks: each is in the database, with its seeds and audio UUIDs, before the client gets an answer."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
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


class DuplicateTask(ValueError):  # noqa: N818 - names the condition
    """A task of this UUID was accepted before."""


class QueueFull(ValueError):  # noqa: N818
    """The limit of unfinished tasks is reached."""


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
        self._folder, self._limit = folder, settings.max_queue

    async def accept(self, tasks: Sequence[Task], base_url: str) -> list[Refusal | None]:
        """Insert tasks in their order, with one sync of the disk. Returns for each why it was refused, None if it was
        accepted. base_url: of the URLs of their results."""
        sources = await asyncio.gather(*(self._find_source(task.value("inputs.audio")) for task in tasks))
        inserts = [self._insert(task, *source, base_url) for task, source in zip(tasks, sources, strict=True)]
        return list(await asyncio.gather(*inserts))

    async def _insert(self, task: Task, source: str | None, file: str | None, base_url: str) -> Refusal | None:
        if source is not None and file is None and "://" not in source:
            return (task_errors.source_error(f"no upload and no result has the UUID {source}", task.task_uuid),)
        request = json.dumps(task.to_json())
        new = NewTask(task.task_uuid, request, base_url.rstrip("/"), _plan_results(task), source, file)
        try:
            await self._database.transact(insert_task, new, self._limit, time.time())
        except DuplicateTask:
            return (task_errors.duplicate_error(task),)
        except QueueFull:
            return (task_errors.queue_full_error(self._limit, task),)
        except StorageFull as error:
            return (task_errors.storage_full_error(error, task),)
        return None

    async def _find_source(self, source: str | None) -> tuple[str | None, str | None]:
        """inputs.audio, and if it is the UUID of an upload or a result, its path relative to the folder."""
        if source is None or "://" in source:
            return source, None
        path = await asyncio.to_thread(self._recordings.find, source)
        if path is None:
            path = await self._files.find(source)
        return source, None if path is None else path.relative_to(self._folder).as_posix()


def insert_task(connection: Connection, task: NewTask, limit: int, now: float) -> None:
    """Append a task to the queue. Raises DuplicateTask, and QueueFull if `limit` tasks are unfinished."""
    if connection.execute("SELECT 1 FROM tasks WHERE uuid = ?", (task.uuid,)).fetchone():
        raise DuplicateTask(task.uuid)
    (unfinished,) = connection.execute("SELECT COUNT(*) FROM tasks WHERE unfinished > 0").fetchone()
    if unfinished >= limit:
        raise QueueFull(f"{unfinished} tasks are unfinished; the limit is {limit}")
    number = connection.execute(
        "INSERT INTO tasks (uuid, request, base_url, accepted, source, source_file, unfinished) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (task.uuid, task.request, task.base_url, now, task.source, task.source_file, len(task.results)),
    ).lastrowid
    connection.executemany(
        "INSERT INTO results (task, place, audio_uuid, seed) VALUES (?, ?, ?, ?)",
        [(number, index, *result) for index, result in enumerate(task.results)],
    )


def _plan_results(task: Task) -> tuple[tuple[str, int], ...]:
    """Audio UUID and seed of each result: the seeds count up from the task's, or from a random one."""
    seed = task.value("seed")
    first = secrets.randbelow(SEEDS) if seed is None else seed
    return tuple((str(uuid.uuid4()), (first + index) % SEEDS) for index in range(task.value("numberResults")))

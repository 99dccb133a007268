"""Fetches the sources that tasks name by URL, several at a time, so that a slow one blocks no other task."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from ...transfer.errors import Failed, Refused
from ..schema.task import Task
from . import jobs, sources, task_errors
from .background.lanes import Lanes
from .background.poller import Poller
from .database import StorageFull, TaskDatabase
from .database_schema import host_of
from .sources import PendingSource

_logger = logging.getLogger("acestep_xl")
CONCURRENCY = 8  # each may hold a whole recording in memory
CONSIDERED = 1000  # waiting sources from which those are picked whose hosts have room
ATTEMPTS = 3
RETRY_SECONDS = 1.0  # before the second attempt, then doubling


class RecordingStore(Protocol):
    """Where recordings are kept: uploads, and sources fetched by URL."""

    async def store(self, request: Task) -> dict[str, Any]: ...

    async def fetch(self, url: str) -> Path: ...

    def find(self, media_uuid: str) -> Path | None: ...

    def clean(self) -> None: ...

    def move_times(self, seconds: float) -> None: ...


class SourceUnavailable(RuntimeError):  # noqa: N818 - names the condition
    """A source cannot be fetched; the message says why."""


class SourceFetcher:
    """Fetches in the event loop that runs it. on_change: called with the UUID of a task whose source has arrived, or
    which has failed without it."""

    def __init__(
        self, database: TaskDatabase, recordings: RecordingStore, folder: Path, on_change: Callable[[str], None]
    ) -> None:
        self._database, self._recordings, self._folder = database, recordings, folder
        self._on_change = on_change
        self._poller, self._lanes = Poller(), Lanes(CONCURRENCY)
        self._silent: set[int] = set()  # numbers of tasks whose source's host has not answered
        self.wake = self._poller.wake

    async def run(self) -> None:
        """Fetch until cancelled; the next start fetches again what was not complete."""
        self._lanes = Lanes(CONCURRENCY)
        await self._poller.run(self._poll)

    async def _poll(self) -> None:
        for source in await self._database.transact(sources.list_pending, CONSIDERED):
            if source.task_number in self._poller.running or self._lanes.room(host_of(source.url)) <= 0:
                continue
            self._lanes.start(source.task_number, host_of(source.url))
            self._poller.start(source.task_number, self._process(source))

    async def _process(self, source: PendingSource) -> None:
        """Fetch a source or fail its task, retrying while the database cannot record it."""
        self._silent.discard(source.task_number)
        try:
            while True:
                try:
                    await self._fetch_or_fail(source)
                    self._on_change(source.task_uuid)
                    return
                except StorageFull as error:
                    _logger.error("cannot store a source: %s", error)
                except Exception:
                    _logger.exception("the source of task %s", source.task_uuid)
                await asyncio.sleep(RETRY_SECONDS * 2**ATTEMPTS)
        finally:
            self._lanes.end(source.task_number, answered=source.task_number not in self._silent)
            self._silent.discard(source.task_number)

    async def _fetch_or_fail(self, source: PendingSource) -> None:
        try:
            path = await self._fetch(source)
        except SourceUnavailable as problem:
            error = task_errors.source_error(str(problem), source.task_uuid).to_json()
            await self._database.transact(jobs.fail_queued, source.task_number, error, time.time())
        else:
            file = path.relative_to(self._folder).as_posix()
            await self._database.transact(sources.set_file, source.task_number, file)

    async def _fetch(self, source: PendingSource) -> Path:
        """The fetched file. Raises SourceUnavailable and StorageFull."""
        reason = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(RETRY_SECONDS * 2 ** (attempt - 1))
            try:
                return await self._recordings.fetch(source.url)
            except (Refused, ValueError) as error:
                raise SourceUnavailable(error.reason if isinstance(error, Refused) else str(error)) from error
            except Failed as error:
                reason = error.reason
                if error.status is None:
                    self._silent.add(source.task_number)
            except StorageFull:
                raise
            except Exception as error:
                _logger.exception("the source of task %s", source.task_uuid)
                reason = f"{type(error).__name__}: {error}"
        raise SourceUnavailable(f"{reason}; tried {ATTEMPTS} times")

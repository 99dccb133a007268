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
from .database import StorageFull, TaskDatabase
from .poller import Poller
from .sources import PendingSource

_logger = logging.getLogger("acestep_xl")
CONCURRENCY = 4
ATTEMPTS = 3
RETRY_SECONDS = 1.0  # before the second attempt, then doubling


class RecordingStore(Protocol):
    """Where recordings are kept: uploads, and sources fetched by URL."""

    async def store(self, request: Task) -> dict[str, Any]: ...

    async def fetch(self, url: str) -> Path: ...

    def find(self, media_uuid: str) -> Path | None: ...

    def clean(self) -> None: ...


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
        self._poller = Poller(CONCURRENCY)
        self.wake = self._poller.wake

    async def run(self) -> None:
        """Fetch until cancelled; the next start fetches again what was not complete."""
        await self._poller.run(self._poll)

    async def _poll(self) -> None:
        limit = CONCURRENCY + len(self._poller.running)
        for source in await self._database.transact(sources.list_pending, limit):
            if source.task_number not in self._poller.running and self._poller.free > 0:
                self._poller.start(source.task_number, self._process(source))

    async def _process(self, source: PendingSource) -> None:
        """Fetch a source or fail its task, retrying while the disk is full."""
        while True:
            try:
                await self._fetch_or_fail(source)
                self._on_change(source.task_uuid)
                return
            except StorageFull as error:
                _logger.error("cannot store a source: %s", error)
                await asyncio.sleep(RETRY_SECONDS * 2**ATTEMPTS)

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
            except StorageFull:
                raise
            except Exception as error:
                _logger.exception("the source of task %s", source.task_uuid)
                reason = f"{type(error).__name__}: {error}"
        raise SourceUnavailable(f"{reason}; tried {ATTEMPTS} times")

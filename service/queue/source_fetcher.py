"""Fetches the sources that tasks name by URL, several at a time, so that a slow one holds up no other task."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from ...transfer.errors import Failed, Refused
from ..schema.task import Task
from . import jobs, task_errors
from .database import StorageFull, Store
from .jobs import Source

_logger = logging.getLogger("acestep_xl")
AT_ONCE = 4
ATTEMPTS = 3
DELAY = 1.0  # seconds before the second attempt, then doubling


class Media(Protocol):
    """What is asked of the place where uploads lie."""

    async def store(self, request: Task) -> dict[str, Any]: ...

    async def fetch(self, url: str) -> Path: ...

    def find(self, media_uuid: str) -> Path | None: ...

    def clean(self) -> None: ...


class Sources:
    """Fetches in the event loop that runs it. changed: called with the UUID of a task whose source has come, or which
    has failed for the lack of it."""

    def __init__(self, store: Store, media: Media, folder: Path, changed: Callable[[str], None]) -> None:
        self._store, self._media, self._folder, self._changed = store, media, folder, changed
        self._news = asyncio.Event()
        self._underway: dict[int, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """There may be something new to fetch."""
        self._news.set()

    async def run(self) -> None:
        """Fetch until cancelled; what is then underway is fetched again after the next start."""
        try:
            while True:
                self._news.clear()
                for source in await self._store.call(jobs.missing_sources, AT_ONCE + len(self._underway)):
                    if source.task not in self._underway and len(self._underway) < AT_ONCE:
                        self._begin(source)
                await self._news.wait()
        finally:
            for fetching in self._underway.values():
                fetching.cancel()
            await asyncio.gather(*self._underway.values(), return_exceptions=True)

    def _begin(self, source: Source) -> None:
        fetching = asyncio.create_task(self._carry_out(source))
        self._underway[source.task] = fetching
        fetching.add_done_callback(lambda _: self._ended(source.task))

    def _ended(self, task: int) -> None:
        del self._underway[task]
        self._news.set()

    async def _carry_out(self, source: Source) -> None:
        while True:
            try:
                await self._settle(source)
                self._changed(source.task_uuid)
                return
            except StorageFull as error:
                _logger.error("sources rest: %s", error)
                await asyncio.sleep(DELAY * 2**ATTEMPTS)

    async def _settle(self, source: Source) -> None:
        """Fetch a source, or fail its task."""
        found = await self._fetch(source)
        if isinstance(found, Path):
            file = found.relative_to(self._folder).as_posix()
            await self._store.call(jobs.source_found, source.task, file)
            return
        error = task_errors.of_source(found, source.task_uuid).to_json()
        await self._store.call(jobs.fail_task, source.task, error, time.time())

    async def _fetch(self, source: Source) -> Path | str:
        """The file, or why there is none."""
        reason = ""
        for attempt in range(ATTEMPTS):
            try:
                return await self._media.fetch(source.url)
            except (Refused, ValueError) as error:
                return error.reason if isinstance(error, Refused) else str(error)
            except Failed as error:
                reason = error.reason
            except StorageFull:
                raise
            except Exception as error:
                _logger.exception("the source of task %s", source.task_uuid)
                reason = f"{type(error).__name__}: {error}"
            if attempt + 1 < ATTEMPTS:
                await asyncio.sleep(DELAY * 2**attempt)
        return f"{reason}; tried {ATTEMPTS} times"

"""The engine room of the task API behind one facade: accept, wait, tell, cancel. One for each server.

What `submit` accepted is on the disk before it returns, and survives any end of the process. A result is committed
once, after its file has its last name; until then it may be made again, afterwards never.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from ..engine import graphs
from ..engine.protocol import Engine
from ..schema.errors import ApiError
from ..schema.task import Task
from ..settings import ServiceSettings
from . import deliveries, jobs, queue_view, results, retention, task_errors
from .database import StorageFull, Store
from .jobs import Accepted, DuplicateTask, QueueFull
from .media_store import MediaStore
from .outbox import Outbox
from .results import State, Told
from .source_fetcher import Media, Sources
from .worker import RESULTS, Worker

__all__ = ["State", "Tasks"]

_logger = logging.getLogger("acestep_xl")
SEEDS = 2**31  # the page's range, so that a seed that is told can be sent again
SWEEP = 15.0  # seconds between two looks for results whose time is over


class Tasks:
    """Opened with `Tasks.open`; used from the event loop that opened it."""

    def __init__(
        self, store: Store, media: Media, folder: Path, engines: Sequence[Engine], settings: ServiceSettings
    ) -> None:
        self._store, self._media, self._folder, self._settings = store, media, folder, settings
        self._engines, self._loop = engines, asyncio.get_running_loop()
        self._workers = [Worker(store, engine, folder, settings, self._tell) for engine in engines]
        self._outbox = Outbox(store, folder / RESULTS, settings)
        self._sources = Sources(store, media, folder, self._source_changed)
        self._waiting: dict[str, asyncio.Event] = {}
        self._listeners: list[Callable[[str], None]] = []
        self._background: list[asyncio.Task[None]] = []

    @staticmethod
    @asynccontextmanager
    async def open(
        folder: Path, engine: Engine | Sequence[Engine], settings: ServiceSettings, media: Media | None = None
    ) -> AsyncIterator[Tasks]:
        """Open the queue of a folder, made where it is missing, and go on with what is unfinished in it.

        engine: one, or one for each device. media: where uploads lie, None for a place in the folder. Raises
        store.FolderInUse, store.StoreDamaged, and ValueError for a folder of a later version.
        """
        folder = folder.absolute()
        engines = engine if isinstance(engine, Sequence) else [engine]
        store = await asyncio.to_thread(Store, folder)
        try:
            await store.call(
                jobs.recover, task_errors.crashed().to_json(), task_errors.cancelled().to_json(), time.time()
            )
            await asyncio.to_thread(_remove_leftovers, folder / RESULTS, await store.call(retention.files))
            tasks = Tasks(store, media or _own_media(store, folder, settings), folder, engines, settings)
            tasks._start()
            for problem in await asyncio.to_thread(tasks._problems):
                _logger.warning("no task can run: %s", problem)
            try:
                yield tasks
            finally:
                await tasks._stop()
        finally:
            store.close()

    async def submit(
        self, requests: Sequence[Task], base_url: str | None = None
    ) -> list[tuple[ApiError, ...] | None]:
        """Accept tasks: for each None, or why it was not accepted. They are on the disk when this returns.

        base_url: how the client reached this server, for the addresses of its results where the settings have no
        public_url.
        """
        base_url = self._settings.public_url or base_url or self._settings.base_url
        answers = [await self._accept(task, base_url) for task in requests]
        self._changed()
        return answers

    async def wait(self, task_uuid: str, timeout_s: float) -> State | None:
        """The state when all results are finished, or after that time; None for an unknown task."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._finished(task_uuid), timeout_s)
        return await self.state(task_uuid)

    async def state(self, task_uuid: str) -> State | None:
        """What there is of a task; None for an unknown one."""
        told = await self._store.call(results.look_up, task_uuid)
        return None if told is None else await self._state(told)

    async def cancel(self, task_uuid: str) -> bool:
        """Stop what is unfinished of a task; False where nothing is."""
        error = task_errors.cancelled(task_uuid).to_json()
        found = await self._store.call(jobs.cancel, task_uuid, error, time.time())
        if found:
            for worker in self._workers:
                worker.cancel(task_uuid)
            self._notify(task_uuid)
            self._changed()
        return found

    async def details(self, task_uuid: str) -> dict[str, Any] | None:
        """A task's request and answer, when what happened, and its deliveries; None for an unknown one."""
        told = await self._store.call(results.look_up, task_uuid)
        if told is None:
            return None
        sent = await self._store.call(deliveries.of_task, told.task["number"])
        return results.details(told, sent, await self._state(told))

    async def overview(self) -> list[dict[str, Any]]:
        """The queue, unfinished tasks first, and finished ones whose deliveries are not: see `overviews`."""
        entries = await self._store.call(queue_view.read, time.time())
        problems = [worker.problem for worker in self._workers if worker.problem]
        return [queue_view.entry(found, self._progress(), problems) for found in entries]

    async def store_media(self, request: Task) -> dict[str, Any]:
        """Keep an upload; the answer holds its mediaUUID. Raises RequestError."""
        return await self._media.store(request)

    async def file(self, audio_uuid: str) -> tuple[Path, str] | None:
        """A result's file and media type; None where there is none, or its time is over."""
        name = await self._store.call(retention.file_of, audio_uuid, time.time())
        path = self._folder / RESULTS / name if name is not None else None
        if path is None or not path.is_file():
            return None
        return path, results.media_type(path.name)

    def subscribe(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Have the callback called, in the event loop, with a task's UUID whenever one of its results is finished.
        Returns what ends that."""
        self._listeners.append(callback)
        return lambda: self._listeners.remove(callback)

    async def _accept(self, task: Task, base_url: str) -> tuple[ApiError, ...] | None:
        audio = task.value("inputs.audio")
        file = None
        if audio is not None and "://" not in audio:
            file = await self._kept(audio)
            if file is None:
                return (task_errors.of_source(f"no upload and no result has the UUID {audio}", task.task_uuid),)
        first = task.value("seed")
        if first is None:
            first = secrets.randbelow(SEEDS)
        made = tuple((str(uuid.uuid4()), (first + place) % SEEDS) for place in range(task.value("numberResults")))
        accepted = Accepted(task.task_uuid, json.dumps(task.to_json()), base_url.rstrip("/"), made, audio, file)
        most = self._settings.max_queue
        try:
            await self._store.call(jobs.accept, accepted, most, time.time())
        except DuplicateTask:
            return (task_errors.duplicate(task),)
        except QueueFull:
            return (task_errors.full(most, task),)
        except StorageFull as error:
            return (task_errors.no_room(error, task),)
        return None

    async def _kept(self, audio_uuid: str) -> str | None:
        """Where an upload or a result lies, relative to the folder."""
        path = await asyncio.to_thread(self._media.find, audio_uuid)
        found = await self.file(audio_uuid)
        path = found[0] if path is None and found is not None else path
        return None if path is None else path.relative_to(self._folder).as_posix()

    async def _finished(self, task_uuid: str) -> None:
        while True:
            changed = self._waiting.setdefault(task_uuid.lower(), asyncio.Event())
            told = await self._store.call(results.look_up, task_uuid)
            if told is None or results.status(told) != "processing":
                return
            await changed.wait()

    async def _state(self, told: Told) -> State:
        return await asyncio.to_thread(results.state, told, self._progress(), self._folder / RESULTS)

    def _progress(self) -> dict[tuple[str, int], float]:
        return {key: share for worker in self._workers for key, share in list(worker.progress.items())}

    def _problems(self) -> list[str]:
        """What keeps even the plainest task from running, such as a missing checkpoint."""
        found = [graphs.problems(one.table(), self._settings.model, self._settings.demo) for one in self._engines]
        return sorted({problem for problems in found for problem in problems})

    def _start(self) -> None:
        for worker in self._workers:
            worker.start()
        loops = (self._outbox.run(), self._sources.run(), self._sweep())
        self._background = [asyncio.create_task(loop) for loop in loops]

    async def _stop(self) -> None:
        await asyncio.gather(*(asyncio.to_thread(worker.stop) for worker in self._workers))
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    def _tell(self, task_uuid: str) -> None:
        """Told by a worker's thread."""
        self._loop.call_soon_threadsafe(self._notify, task_uuid)

    def _notify(self, task_uuid: str) -> None:
        self._outbox.wake()
        changed = self._waiting.pop(task_uuid.lower(), None)
        if changed is not None:
            changed.set()
        for callback in list(self._listeners):
            callback(task_uuid)

    def _source_changed(self, task_uuid: str) -> None:
        self._notify(task_uuid)
        self._changed()

    def _changed(self) -> None:
        """Tasks or sources have come."""
        self._sources.wake()
        for worker in self._workers:
            worker.wake()

    async def _sweep(self) -> None:
        """Delete the files of results and recordings whose time is over."""
        while True:
            try:
                for name in await self._store.call(retention.expire, time.time()):
                    (self._folder / RESULTS / name).unlink(missing_ok=True)
                await asyncio.to_thread(self._media.clean)
            except OSError as error:
                _logger.error("cannot delete what has expired: %s", error)
            await asyncio.sleep(SWEEP)


def _own_media(store: Store, folder: Path, settings: ServiceSettings) -> Media:
    return MediaStore(folder / "media", settings, in_use=lambda: store.ask(retention.sources_in_use))


def _remove_leftovers(folder: Path, known: set[str]) -> None:
    """Delete what a killed process left among the results: files of results that were never committed."""
    for path in folder.glob("*") if folder.is_dir() else ():
        if path.is_file() and path.name not in known:
            path.unlink(missing_ok=True)

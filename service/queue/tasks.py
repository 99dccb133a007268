"""The queue of the task API: accept -> job -> result -> delivery. One per server.

An accepted task is on the disk before `submit` returns, and survives any end of the process. A result is committed
once, after its file is published: until then its job may run again, afterwards never.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from ..engine.graph_builder import installation_problems
from ..engine.protocol import Engine
from ..schema.errors import ApiError
from ..schema.task import Task
from ..settings import ServiceSettings
from . import crash_signs, jobs, queue_view, result_objects, retention, task_errors, task_state
from .acceptance import Acceptance
from .background.cleanup import run_cleanup
from .background.clock import ClockFollower, JumpingClock
from .background.supervisor import Supervisor
from .database import StorageFull, TaskDatabase
from .delivery import deliveries
from .delivery.outbox import Outbox
from .media_store import MediaStore
from .result_files import RESULTS, ResultFiles
from .source_fetcher import RecordingStore, SourceFetcher
from .task_events import TaskEvents
from .task_record import Progress, TaskRecord, find_task
from .task_state import TaskState
from .worker import Worker

__all__ = ["TaskState", "Tasks"]

_logger = logging.getLogger("acestep_xl")
STATE_READERS = 4  # threads
RECOVERY_SECONDS = 10.0  # between two attempts to recover while the disk is full


class Tasks:
    """Opened with `Tasks.open`; used from the event loop that opened it."""

    def __init__(
        self,
        database: TaskDatabase,
        recordings: RecordingStore,
        folder: Path,
        engines: Sequence[Engine],
        settings: ServiceSettings,
        clock: JumpingClock,
    ) -> None:
        self._database, self._recordings, self._settings = database, recordings, settings
        self._engines, self._loop, self._folder = engines, asyncio.get_running_loop(), folder
        self._recovery_problem: str | None = None  # why the unfinished tasks of the last process still wait
        self._files, self._events = ResultFiles(database, folder / RESULTS), TaskEvents()
        self._acceptance = Acceptance(database, recordings, self._files, folder, settings)
        self._sources = SourceFetcher(database, recordings, folder, self._source_changed)
        self._workers = [Worker(database, engine, folder, settings, self._worker_changed) for engine in engines]
        self._clock = ClockFollower(clock, database, recordings)
        self._outbox = Outbox(database, self._files.folder, settings, self._clock)
        self._background = Supervisor()
        # States must not wait for whatever else this process does in threads, such as decoding uploads.
        self._state_readers = ThreadPoolExecutor(STATE_READERS, "acestep-xl-state")

    @staticmethod
    @asynccontextmanager
    async def open(
        folder: Path,
        engine: Engine | Sequence[Engine],
        settings: ServiceSettings,
        recordings: RecordingStore | None = None,
    ) -> AsyncIterator[Tasks]:
        """Open the queue in a folder, which is created if missing, and resume unfinished tasks.

        engine: one, or one per device. recordings: where uploads are kept, None for the folder. Raises
        database.FolderInUse, database.DatabaseDamaged, data_folder.FolderUnusable, and ValueError for a folder of a
        later version.
        """
        folder = folder.absolute()
        engines = engine if isinstance(engine, Sequence) else [engine]
        database = await asyncio.to_thread(TaskDatabase, folder)
        clock = JumpingClock()
        try:
            recordings = recordings or _media_store(database, folder, settings, clock)
            tasks = Tasks(database, recordings, folder, engines, settings, clock)
            await tasks._start()
            try:
                yield tasks
            finally:
                await tasks._stop()
        finally:
            database.close()

    async def submit(self, requests: Sequence[Task], base_url: str | None = None) -> list[tuple[ApiError, ...] | None]:
        """Accept tasks, which are on the disk when this returns. Returns for each why it was refused, or None.

        base_url: as the client reached this server, for the URLs of results unless the settings have a public_url.
        """
        base_url = self._settings.public_url or base_url or self._settings.base_url
        refusals = await self._acceptance.accept(requests, base_url)
        if any(task.value("inputs.audio") for task in requests):
            self._sources.wake()
        self._wake_workers()
        return refusals

    async def wait(self, task_uuid: str, timeout: float) -> TaskState | None:
        """A task's state once it is finished, or after a timeout in seconds; None for an unknown task."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._finished(task_uuid), timeout)
        return await self.state(task_uuid)

    async def state(self, task_uuid: str) -> TaskState | None:
        """A task's state and finished results; None for an unknown task."""
        task = await self._database.transact(find_task, task_uuid)
        return None if task is None else await self._state(task)

    async def cancel(self, task_uuid: str) -> bool:
        """Cancel what is unfinished of a task. Returns False if nothing was."""
        error = task_errors.cancelled_error(task_uuid).to_json()
        cancelled = await self._database.transact(jobs.cancel, task_uuid, error, time.time())
        if cancelled:
            for worker in self._workers:
                worker.cancel(task_uuid)
            self._task_changed(task_uuid)
            self._wake_workers()
        return cancelled

    async def details(self, task_uuid: str) -> dict[str, Any] | None:
        """A task's request and response, timestamps and deliveries; None for an unknown task."""
        task = await self._database.transact(find_task, task_uuid)
        if task is None:
            return None
        sent = await self._database.transact(deliveries.list_of_task, task.number)
        return task_state.task_details(task, sent, await self._state(task))

    async def overview(self) -> list[dict[str, Any]]:
        """Unfinished tasks, and finished ones with open deliveries: see `queue_view`."""
        entries = await self._database.transact(queue_view.read_queue, time.time())
        return [queue_view.entry_object(entry, self._progress(), self.problems) for entry in entries]

    @property
    def problems(self) -> list[str]:
        """What keeps tasks from running or being delivered at present, or did so recently."""
        workers = [worker.problem for worker in self._workers if worker.problem]
        return [*([self._recovery_problem] if self._recovery_problem else []), *workers, *self._background.problems]

    async def store_media(self, request: Task) -> dict[str, Any]:
        """Keep an upload; the answer holds its mediaUUID. Raises RequestError."""
        return await self._recordings.store(request)

    async def file(self, audio_uuid: str) -> tuple[Path, str] | None:
        """A result's file and media type; None if there is none or it has expired."""
        path = await self._files.find(audio_uuid)
        return None if path is None else (path, result_objects.media_type(path.name))

    def subscribe(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Call the listener, in the event loop, with a task's UUID whenever one of its results ends. Returns a
        function that unsubscribes it."""
        return self._events.subscribe(listener)

    async def _start(self) -> None:
        """Recover from the last end of the process, then start everything that runs in the background.

        While the disk is too full to recover, no task runs, but what is finished can be fetched.
        """
        try:
            await self._recover()
        except StorageFull as error:
            self._recovery_problem = str(error)
            _logger.error("no task can run: %s", error)
            self._background.start("recovering the queue", self._recover_later)
        self._background.start("fetching sources", self._sources.run)
        self._background.start("deliveries", self._outbox.run)
        self._background.start("following the clock", self._clock.run)
        cleanup = partial(run_cleanup, self._files, self._recordings, self._clock)
        self._background.start("deleting expired files", cleanup)
        for problem in await asyncio.to_thread(self._problems):
            _logger.warning("no task can run: %s", problem)

    async def _recover(self) -> None:
        """Requeue what was running, and start the workers."""
        crashed, cancelled = task_errors.crashed_error().to_json(), task_errors.cancelled_error().to_json()
        trace, machine = await asyncio.to_thread(crash_signs.take_trace, self._folder), crash_signs.read_machine()
        await self._database.transact(jobs.recover, crashed, cancelled, time.time(), trace, machine)
        await self._files.delete_uncommitted()
        self._recovery_problem = None
        for worker in self._workers:
            worker.start()

    async def _recover_later(self) -> None:
        while self._recovery_problem is not None:
            await asyncio.sleep(RECOVERY_SECONDS)
            with suppress(StorageFull):
                await self._recover()

    async def _stop(self) -> None:
        await asyncio.gather(*(asyncio.to_thread(worker.stop) for worker in self._workers))
        await self._background.stop()
        self._outbox.close()
        self._state_readers.shutdown(wait=False)

    async def _finished(self, task_uuid: str) -> None:
        with self._events.watching(task_uuid) as changed:
            while True:
                changed.clear()
                task = await self._database.transact(find_task, task_uuid)
                if task is None or task.is_finished:
                    return
                await changed.wait()

    async def _state(self, task: TaskRecord) -> TaskState:
        read = partial(task_state.read_state, task, self._progress(), self._files.folder)
        return await self._loop.run_in_executor(self._state_readers, read)

    def _progress(self) -> Progress:
        return {key: share for worker in self._workers for key, share in list(worker.progress.items())}

    def _problems(self) -> list[str]:
        """What keeps every task from running, such as a missing checkpoint."""
        model, demo = self._settings.model, self._settings.demo
        return sorted({p for engine in self._engines for p in installation_problems(engine.table(), model, demo)})

    def _worker_changed(self, task_uuid: str) -> None:
        """Called from a worker's thread."""
        self._loop.call_soon_threadsafe(self._task_changed, task_uuid)

    def _source_changed(self, task_uuid: str) -> None:
        self._task_changed(task_uuid)
        self._wake_workers()

    def _task_changed(self, task_uuid: str) -> None:
        self._outbox.wake()
        self._events.notify(task_uuid)

    def _wake_workers(self) -> None:
        for worker in self._workers:
            worker.wake()


def _media_store(database: TaskDatabase, folder: Path, settings: ServiceSettings, clock: JumpingClock) -> MediaStore:
    def in_use() -> set[str]:
        return database.transact_sync(retention.source_names)

    return MediaStore(folder / "media", settings, in_use=in_use, clock=clock.time)

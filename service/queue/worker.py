"""The thread that makes results: one for each device, one result after the other."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...parameters import ids
from ..engine import graphs
from ..engine.graphs import GraphError
from ..engine.protocol import DiskFull, Engine, RunError, Stopped
from ..engine.usage import Meter
from ..schema.errors import ApiError
from ..schema.task import Task
from ..settings import ServiceSettings
from . import jobs, results, task_errors
from .database import StorageFull, Store
from .jobs import Made, Unit

_logger = logging.getLogger("acestep_xl")
RESULTS = "results"  # the folder of finished files
PREFIX = "service"  # of file names while they are made
REST = 10.0  # seconds before another try when the disk is full
SECONDS_PER_HOUR = 3600.0


class Worker:
    """Takes results from the queue and makes them. told: called, in this thread, with the UUID of a task that changed.

    progress: share done of what is being made, by task UUID and place. problem: why nothing is being made just now.
    """

    def __init__(
        self, store: Store, engine: Engine, folder: Path, settings: ServiceSettings, told: Callable[[str], None]
    ) -> None:
        self.progress: dict[tuple[str, int], float] = {}
        self.problem: str | None = None
        self._store, self._engine, self._folder, self._settings, self._told = store, engine, folder, settings, told
        self._news, self._stopping = threading.Event(), threading.Event()
        self._cancelled: set[str] = set()
        self._thread = threading.Thread(target=self._work, name=f"acestep-xl-{engine.device}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There may be something new to do."""
        self._news.set()

    def cancel(self, task_uuid: str) -> None:
        """Stop what is being made of this task within a step; the store knows already that it is cancelled."""
        self._cancelled.add(task_uuid.lower())

    def stop(self) -> None:
        """Stop within a step, put what was begun back into the queue, and end. Blocks."""
        self._stopping.set()
        self._news.set()
        self._thread.join()
        self._engine.close()

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._news.clear()
            try:
                unit = self._store.ask(jobs.take, time.time())
                if unit is None:
                    self._news.wait()
                else:
                    self._carry_out(unit)
            except StorageFull as error:
                self._rest(str(error))
            except Exception:  # the thread must outlive any fault
                _logger.exception("the worker of %s", self._engine.device)
                self._rest("something went wrong in the server; its log says where")

    def _carry_out(self, unit: Unit) -> None:
        """Make one result, and commit it or why there is none."""
        key = (unit.task_uuid, unit.place)
        self.progress[key] = 0.0
        task: Task | None = None
        try:
            task = Task.from_json(json.loads(unit.request))
            made = self._make(unit, task)
        except Stopped:
            self._leave(unit)
        except DiskFull as error:
            self._commit(jobs.give_back, unit)
            self._rest(str(error))
        except (RunError, GraphError) as error:
            assert task is not None
            found = (
                task_errors.of_run(error, task) if isinstance(error, RunError) else task_errors.of_graph(error, task)
            )
            self._fail(unit, found)
        except Exception as error:
            _logger.exception("task %s", unit.task_uuid)
            self._fail(unit, task_errors.of_program(error, unit.task_uuid))
        else:
            self._commit(jobs.finish, unit, made, time.time())
            self._cancelled.discard(unit.task_uuid.lower())
        del self.progress[key]
        self._told(unit.task_uuid)

    def _make(self, unit: Unit, task: Task) -> Made:
        """Run the request's graph; its file is complete and under its last name when this returns."""

        def should_stop() -> bool:
            return self._stopping.is_set() or unit.task_uuid.lower() in self._cancelled

        def on_progress(done: float) -> None:
            self.progress[unit.task_uuid, unit.place] = done

        meter = Meter(self._engine.device)
        source = "" if unit.source_file is None else self._take_in(self._folder / unit.source_file)
        graph = graphs.build(
            task,
            seed=unit.seed,
            prefix=f"{PREFIX}/{unit.audio_uuid}",
            table=self._engine.table(),
            source=source,
            model=self._settings.model,
            demo=self._settings.demo,
        )
        saved = self._engine.run(graph, on_progress, should_stop)
        if len(saved) != 1:
            raise RunError("", "RuntimeError", f"the workflow saved {len(saved)} files; a result is one")
        usage = meter.read()
        name = unit.audio_uuid + saved[0].suffix
        publish(saved[0], self._folder / RESULTS / name)
        answer = results.answer(task, unit, name, usage, self._settings.price_per_hour)
        return Made(name, answer, usage.to_json(), self._expiry(task))

    def _take_in(self, source: Path) -> str:
        if not source.is_file():
            raise RunError(ids.LOAD_AUDIO, "UnreadableAudio", "the source is no longer kept; upload it again")
        return self._engine.take_in(source)

    def _expiry(self, task: Task) -> float | None:
        seconds = task.value("ttl") if task.value("outputType") == "URL" else None
        seconds = seconds or self._settings.keep_hours * SECONDS_PER_HOUR
        return time.time() + seconds if seconds else None

    def _leave(self, unit: Unit) -> None:
        """What to do with a result whose making was stopped."""
        if self._store.ask(jobs.is_cancelled, unit.task):
            self._fail(unit, task_errors.cancelled(unit.task_uuid))
        else:
            self._commit(jobs.give_back, unit)

    def _fail(self, unit: Unit, error: ApiError) -> None:
        self._commit(jobs.fail, unit.task, unit.place, error.to_json(), time.time())
        self._cancelled.discard(unit.task_uuid.lower())

    def _commit(self, work: Callable[..., object], *args: Any) -> None:
        """Write down what happened, again and again while the disk is full, for the result is made already.

        A stop meanwhile leaves it to the next start.
        """
        while True:
            try:
                self._store.ask(work, *args)
                self.problem = None
                return
            except StorageFull as error:
                self._rest(str(error))
                if self._stopping.is_set():
                    return

    def _rest(self, problem: str) -> None:
        """Wait for better times, and say so."""
        _logger.error("%s; trying again in %g seconds", problem, REST)
        self.problem = problem
        self._stopping.wait(REST)


def publish(file: Path, target: Path) -> None:
    """Give a finished file its last name, on the disk for sure. Raises DiskFull."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".part")
    try:
        try:
            os.replace(file, partial)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            shutil.move(file, partial)  # from another file system
        with partial.open("rb+") as written:
            os.fsync(written.fileno())
        os.replace(partial, target)
        _sync_folder(target.parent)
    except OSError as error:
        partial.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"no room for the result: {error}") from error
        raise


def _sync_folder(folder: Path) -> None:
    """Where the system can: a renamed file is there after a power cut only when its folder is on the disk too."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

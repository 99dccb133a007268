"""The thread that runs jobs: one per device, one job at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..engine.protocol import DiskFull, Engine, Stopped
from ..schema.errors import ApiError
from ..settings import ServiceSettings
from . import jobs, task_errors
from .database import StorageFull, TaskDatabase
from .job_runner import JobFailed, JobRunner
from .jobs import Job, JobResult

_logger = logging.getLogger("acestep_xl")
RETRY_SECONDS = 10.0  # between two attempts while the disk is full


class Worker:
    """Claims jobs, runs them and commits their results.

    on_change: called from this thread with the UUID of each task that changed. progress: share done of the running job,
    by task UUID and index. problem: why no job can run at present.
    """

    def __init__(
        self,
        database: TaskDatabase,
        engine: Engine,
        folder: Path,
        settings: ServiceSettings,
        on_change: Callable[[str], None],
    ) -> None:
        self.progress: dict[tuple[str, int], float] = {}
        self.problem: str | None = None
        self._database, self._engine, self._on_change = database, engine, on_change
        self._runner = JobRunner(engine, folder, settings)
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._cancelled: set[str] = set()  # UUIDs of tasks, in lower case
        self._thread = threading.Thread(target=self._loop, name=f"acestep-xl-{engine.device}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """Look for a job now."""
        self._wake.set()

    def cancel(self, task_uuid: str) -> None:
        """Stop a running job of this task within a step. The database must already have it as cancelled."""
        self._cancelled.add(task_uuid.lower())

    def stop(self) -> None:
        """Stop within a step, requeue the running job, and end the thread. Blocks."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()
        self._engine.close()

    def _loop(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                job = self._database.transact_sync(jobs.claim, time.time())
                if job is None:
                    self._wake.wait()
                else:
                    self._process(job)
            except StorageFull as error:
                self._pause(str(error))
            except Exception:  # the thread must survive any error
                _logger.exception("the worker of %s", self._engine.device)
                self._pause("internal error in the server; its log has the details")

    def _process(self, job: Job) -> None:
        """Run a job, and commit its result or its error."""
        key = (job.task_uuid, job.index)
        self.progress[key] = 0.0
        try:
            result = self._run(job)
        except Stopped:
            self._end_stopped(job)
        except DiskFull as error:
            self._commit(jobs.requeue, job)
            self._pause(str(error))
        except JobFailed as failure:
            self._fail(job, failure.error)
        except Exception as error:
            _logger.exception("task %s", job.task_uuid)
            self._fail(job, task_errors.internal_error(error, job.task_uuid))
        else:
            self._commit(jobs.finish, job, result, time.time())
            self._cancelled.discard(job.task_uuid.lower())
        del self.progress[key]
        self._on_change(job.task_uuid)

    def _run(self, job: Job) -> JobResult:
        def should_stop() -> bool:
            return self._stopping.is_set() or job.task_uuid.lower() in self._cancelled

        def on_progress(share: float) -> None:
            self.progress[job.task_uuid, job.index] = share

        return self._runner.run(job, on_progress, should_stop)

    def _end_stopped(self, job: Job) -> None:
        """Fail a job that was stopped because its task was cancelled; requeue it if the server is stopping."""
        if self._database.transact_sync(jobs.is_cancelled, job.task_number):
            self._fail(job, task_errors.cancelled_error(job.task_uuid))
        else:
            self._commit(jobs.requeue, job)

    def _fail(self, job: Job, error: ApiError) -> None:
        self._commit(jobs.fail, job.task_number, job.index, error.to_json(), time.time())
        self._cancelled.discard(job.task_uuid.lower())

    def _commit(self, work: Callable[..., object], *args: Any) -> None:
        """Run a transaction, retrying while the disk is full: the job must not run again.

        If the server stops meanwhile, the next start recovers the job.
        """
        while True:
            try:
                self._database.transact_sync(work, *args)
                self.problem = None
                return
            except StorageFull as error:
                self._pause(str(error))
                if self._stopping.is_set():
                    return

    def _pause(self, problem: str) -> None:
        """Report a problem, and wait before the next attempt."""
        _logger.error("%s; trying again in %g seconds", problem, RETRY_SECONDS)
        self.problem = problem
        self._stopping.wait(RETRY_SECONDS)

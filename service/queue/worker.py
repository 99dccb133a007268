"""The thread that runs jobs: one per device, one job at a time."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..engine.protocol import DiskFull, Engine, Stopped
from ..schema.errors import ApiError
from ..settings import ServiceSettings
from . import jobs, task_errors
from .crash_signs import read_machine
from .database import StorageFull, TaskDatabase
from .job_runner import JobFailed, JobRunner
from .jobs import Job, JobResult

_logger = logging.getLogger("acestep_xl")
RETRY_SECONDS = 10.0  # between two attempts while the disk is full or the database fails
COMMIT_TRIES = 3  # of recording a result, where the program is to blame
INTERNAL_ERROR = "internal error in the server; its log has the details"


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
        if self._thread.ident is not None:  # it may never have started
            self._thread.join()
        self._engine.close()

    def _loop(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                job = self._database.transact_sync(jobs.claim, time.time(), read_machine())
                if job is None:
                    self.problem = None
                    self._wake.wait()
                else:
                    self._process(job)
            except StorageFull as error:
                self._pause(str(error))
            except Exception:  # the thread must survive any error
                _logger.exception("the worker of %s", self._engine.device)
                self._pause(INTERNAL_ERROR)

    def _process(self, job: Job) -> None:
        """Run a job, and commit its result or its error."""
        key = (job.task_uuid, job.index)
        self.progress[key] = 0.0
        try:
            result = self._run(job)
        except Stopped:
            cancelled = task_errors.cancelled_error(job.task_uuid).to_json()
            self._commit(jobs.settle_stopped, job, cancelled, time.time())
        except DiskFull as error:
            self._commit(jobs.requeue, job)
            self._pause(str(error))
        except JobFailed as failure:
            self._fail(job, failure.error)
        except Exception as error:
            _logger.exception("task %s", job.task_uuid)
            self._fail(job, task_errors.internal_error(error, job.task_uuid))
        else:
            self._finish(job, result)
        finally:
            del self.progress[key]
            self._cancelled.discard(job.task_uuid.lower())
        self._on_change(job.task_uuid)

    def _run(self, job: Job) -> JobResult:
        def should_stop() -> bool:
            return self._stopping.is_set() or job.task_uuid.lower() in self._cancelled

        def on_progress(share: float) -> None:
            self.progress[job.task_uuid, job.index] = share

        return self._runner.run(job, on_progress, should_stop)

    def _finish(self, job: Job, result: JobResult) -> None:
        if not self._commit(jobs.finish, job, result, time.time(), tries=COMMIT_TRIES):
            problem = RuntimeError("its result could not be recorded")
            self._fail(job, task_errors.internal_error(problem, job.task_uuid))

    def _fail(self, job: Job, error: ApiError) -> None:
        self._commit(jobs.fail, job.task_number, job.index, error.to_json(), time.time())

    def _commit(self, work: Callable[..., object], *args: Any, tries: int | None = None) -> bool:
        """Run a transaction, retrying until it works: the job must neither run again nor stay as it is.

        tries: after so many failures for another reason than the database itself, return False; None for no limit. If
        the server stops meanwhile, the next start recovers the job.
        """
        failures = 0
        while True:
            try:
                self._database.transact_sync(work, *args)
                self.problem = None
                return True
            except StorageFull as error:
                problem = str(error)
            except sqlite3.Error as error:
                _logger.exception("the database")
                problem = f"the database failed ({error})"
            except Exception:
                _logger.exception("the worker of %s", self._engine.device)
                problem, failures = INTERNAL_ERROR, failures + 1
            if failures == tries:
                return False
            self._pause(problem)
            if self._stopping.is_set():
                return True

    def _pause(self, problem: str) -> None:
        """Report a problem, and wait before the next attempt."""
        _logger.error("%s; trying again in %g seconds", problem, RETRY_SECONDS)
        self.problem = problem
        self._stopping.wait(RETRY_SECONDS)

"""Runs one job: request -> graph -> file -> published result."""

from __future__ import annotations

import json
import time
from pathlib import Path

from ...parameters import ids
from ...runner.graph import Graph
from ..engine.graph_builder import GraphError, build_graph
from ..engine.protocol import Engine, OnProgress, RunError, ShouldStop
from ..engine.usage import Meter
from ..schema.errors import ApiError
from ..schema.task import Task
from ..settings import ServiceSettings
from . import task_errors
from .jobs import Job, JobResult
from .result_files import RESULTS, publish
from .result_objects import result_object

PREFIX = "service"  # of the names of files as the engine saves them
SECONDS_PER_HOUR = 3600.0


class JobFailed(RuntimeError):  # noqa: N818 - names the event
    """A job ended with an error that is reported to the client."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.message)
        self.error = error


class JobRunner:
    """Runs jobs on one engine. folder: the service's."""

    def __init__(self, engine: Engine, folder: Path, settings: ServiceSettings) -> None:
        self._engine, self._folder, self._settings = engine, folder, settings

    def run(self, job: Job, on_progress: OnProgress, should_stop: ShouldStop) -> JobResult:
        """Make a result; its file is published when this returns. Raises JobFailed, Stopped and DiskFull."""
        task = Task.from_json(json.loads(job.request))
        try:
            return self._run(job, task, on_progress, should_stop)
        except RunError as error:
            raise JobFailed(task_errors.run_error(error, task)) from error
        except GraphError as error:
            raise JobFailed(task_errors.graph_error(error, task)) from error

    def _run(self, job: Job, task: Task, on_progress: OnProgress, should_stop: ShouldStop) -> JobResult:
        meter = Meter(self._engine.device)
        files = self._engine.run(self._graph(job, task), on_progress, should_stop)
        if len(files) != 1:
            raise RunError("", "RuntimeError", f"the workflow saved {len(files)} files; a result is one file")
        usage = meter.read()
        name = job.audio_uuid + files[0].suffix
        publish(files[0], self._folder / RESULTS / name)
        payload = result_object(task, job, name, usage, self._settings.price_per_hour)
        return JobResult(name, payload, usage.to_json(), self._expiry(task))

    def _graph(self, job: Job, task: Task) -> Graph:
        source = "" if job.source_file is None else self._import_source(self._folder / job.source_file)
        return build_graph(
            task,
            seed=job.seed,
            prefix=f"{PREFIX}/{job.audio_uuid}",
            table=self._engine.table(),
            source=source,
            model=self._settings.model,
            demo=self._settings.demo,
        )

    def _import_source(self, source: Path) -> str:
        if not source.is_file():
            raise RunError(ids.LOAD_AUDIO, "UnreadableAudio", "the source is no longer kept; upload it again")
        return self._engine.import_source(source)

    def _expiry(self, task: Task) -> float | None:
        """When the file is deleted, as a Unix time. A ttl counts only where the answer is a URL."""
        ttl = task.value("ttl") if task.value("outputType") == "URL" else None
        seconds = ttl or self._settings.keep_hours * SECONDS_PER_HOUR
        return time.time() + seconds if seconds else None

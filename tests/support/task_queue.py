"""A task queue in this process for tests, with a fast engine and without uploads."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from service_tools import FakeRecordings, TinyEngine

from acestep_xl.service.engine.protocol import Engine
from acestep_xl.service.queue.background import clock
from acestep_xl.service.queue.database import StorageFull, TaskDatabase
from acestep_xl.service.queue.tasks import Tasks, TaskState
from acestep_xl.service.schema.task import Task
from acestep_xl.service.settings import ServiceSettings

WAIT_SECONDS = 20.0


@asynccontextmanager
async def open_tasks(
    folder: Path,
    engine: Engine | Sequence[Engine] | None = None,
    recordings: FakeRecordings | None = None,
    **settings: Any,
) -> AsyncIterator[Tasks]:
    """The queue of a folder. settings: of ServiceSettings."""
    chosen = ServiceSettings(**{"demo": True, "allow_private": True, **settings})
    engine = engine or TinyEngine(folder / "work")
    async with Tasks.open(folder, engine, chosen, recordings or FakeRecordings(folder)) as tasks:
        yield tasks


async def finished(tasks: Tasks, task: Task) -> TaskState:
    """The state of a submitted task, once it is finished."""
    state = await tasks.wait(task.task_uuid, WAIT_SECONDS)
    assert state is not None and state.status != "processing", state
    return state


async def run_task(tasks: Tasks, task: Task) -> TaskState:
    """Submit a task, and wait until it is finished."""
    assert await tasks.submit([task]) == [None]
    return await finished(tasks, task)


def pass_time(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let so much time pass at once, by every clock, and then stand still."""
    later, steady = time.time() + seconds, clock._steady_time() + seconds
    monkeypatch.setattr(time, "time", lambda: later)
    monkeypatch.setattr(clock, "_steady_time", lambda: steady)


def fill_disk(monkeypatch: pytest.MonkeyPatch, work: Callable[..., Any], times: int) -> list[float]:
    """Let the first transactions of one kind fail as on a full disk. Returns a list that collects their times."""
    transact, failures = TaskDatabase._transact, []

    def fail(self: TaskDatabase, function: Callable[..., Any], *args: Any) -> Any:
        if function is work and len(failures) < times:
            failures.append(time.monotonic())
            raise StorageFull("the disk is full")
        return transact(self, function, *args)

    monkeypatch.setattr(TaskDatabase, "_transact", fail)
    return failures

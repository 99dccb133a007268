"""Accepting tasks: the limit of the queue, without counting the whole queue for each task."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from service_tools import TinyEngine, in_loop, inference
from task_queue import WAIT_SECONDS, finished, open_tasks

from acestep_xl.service.queue.database import TaskDatabase


@in_loop
async def test_requests_at_the_same_time_never_exceed_the_limit(tmp_path: Path) -> None:
    gate = threading.Event()
    engine = TinyEngine(tmp_path / "work", act=lambda graph: gate.wait(WAIT_SECONDS))
    requests = [[inference() for _ in range(1 + number % 3)] for number in range(40)]
    async with open_tasks(tmp_path, engine, max_queue=30) as tasks:
        answers = await asyncio.gather(*(tasks.submit(request) for request in requests))
        refusals = [refusal for answer in answers for refusal in answer]
        assert refusals.count(None) == 30
        assert {refusal[0].code for refusal in refusals if refusal} == {"queueFull"}
        gate.set()
        await finished(tasks, requests[0][0])
        assert await tasks.submit([inference()]) == [None], "there is room for another"


@in_loop
async def test_accepting_does_not_count_the_queue_for_each_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[str] = []
    gate = threading.Event()
    opened: list[TaskDatabase] = []
    start = TaskDatabase.__init__
    monkeypatch.setattr(TaskDatabase, "__init__", lambda self, folder: (start(self, folder), opened.append(self))[0])
    engine = TinyEngine(tmp_path / "work", act=lambda graph: gate.wait(WAIT_SECONDS))
    async with open_tasks(tmp_path, engine, max_queue=1000) as tasks:
        (database,) = opened
        database._connection.set_trace_callback(lambda text: counts.append(text) if "COUNT(" in text else None)
        for _ in range(50):
            assert await tasks.submit([inference(), inference()]) == [None, None]
        gate.set()
    assert len(counts) < 10, counts


@in_loop
async def test_a_closed_database_answers_at_once(tmp_path: Path) -> None:
    database = TaskDatabase(tmp_path)
    database.close()
    with pytest.raises(RuntimeError, match="closed"):
        await database.transact(lambda connection: None)

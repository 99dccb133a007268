"""How long results and sources stay, and what a task reports afterwards."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from service_tools import TinyEngine, in_loop, inference, until
from task_queue import WAIT_SECONDS, finished, open_tasks, pass_time, run_task

from acestep_xl.service.queue.background import cleanup


@in_loop
async def test_a_result_is_deleted_when_its_ttl_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup, "INTERVAL", 0.02)
    async with open_tasks(tmp_path) as tasks:
        short, long = inference(ttl=60), inference()
        uuids = [(await run_task(tasks, task)).results[0]["audioUUID"] for task in (short, long)]
        short_file, long_file = [await tasks.file(uuid) for uuid in uuids]
        assert short_file is not None and long_file is not None
        path = short_file[0]
        pass_time(monkeypatch, 61)
        assert await tasks.file(uuids[0]) is None
        assert await tasks.file(uuids[1]) == long_file
        await until(lambda: not path.exists())
        state = await tasks.state(short.task_uuid)
        assert state is not None and state.status == "success", "its state outlives its file"
    assert sorted(p.name for p in (tmp_path / "results").iterdir()) == [f"{uuids[1]}.mp3"]


@in_loop
async def test_results_without_a_ttl_are_kept_for_keep_hours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = inference(outputType="base64Data")
    async with open_tasks(tmp_path, keep_hours=1) as tasks:
        await run_task(tasks, task)
        pass_time(monkeypatch, 3601)
    monkeypatch.setattr(cleanup, "INTERVAL", 0.02)
    async with open_tasks(tmp_path) as tasks:
        await until(lambda: not any((tmp_path / "results").iterdir()))
        state = await tasks.state(task.task_uuid)
        assert state is not None and [error.code for error in state.errors] == ["resultExpired"]


@in_loop
async def test_the_source_of_a_queued_task_does_not_expire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup, "INTERVAL", 0.02)
    gate = threading.Event()
    engine = TinyEngine(tmp_path / "work")
    async with open_tasks(tmp_path, engine) as tasks:
        first = inference(ttl=60)
        uuid = (await run_task(tasks, first)).results[0]["audioUUID"]
        engine._act = lambda graph: gate.wait(WAIT_SECONDS)
        blocker, cover = inference(), inference(inputs={"audio": uuid})
        await tasks.submit([blocker, cover])
        pass_time(monkeypatch, 61)
        await asyncio.sleep(0.1)
        gate.set()
        assert (await finished(tasks, cover)).errors == ()
        await until(lambda: not list((tmp_path / "results").glob(f"{uuid}*")))

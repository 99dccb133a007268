"""The state of tasks while they run: progress, waiting, details, the overview of the queue."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

from service_tools import TinyEngine, in_loop, inference, until
from task_queue import WAIT_SECONDS, finished, open_tasks, run_task

from acestep_xl.service.queue import jobs
from acestep_xl.service.queue.database import TaskDatabase


@in_loop
async def test_finished_results_are_reported_before_the_others(tmp_path: Path) -> None:
    gate = threading.Semaphore(1)
    async with open_tasks(tmp_path, TinyEngine(tmp_path / "work", 0.02, lambda graph: gate.acquire())) as tasks:
        notified: list[str] = []
        unsubscribe = tasks.subscribe(notified.append)
        task = inference(seed=5, numberResults=3)
        await tasks.submit([task])
        await until(lambda: notified)
        state = await tasks.wait(task.task_uuid, 0.05)
        assert state is not None
        assert [result["status"] for result in state.results] == ["success", "processing", "processing"]
        assert state.results[1]["taskUUID"] == task.task_uuid and 0 <= state.results[1]["progress"] < 100
        assert state.status == "processing" and 33 <= state.progress < 67
        gate.release()
        gate.release()
        state = await finished(tasks, task)
        assert [result["seed"] for result in state.results] == [5, 6, 7]
        await until(lambda: len(notified) == 3)
        assert notified == [task.task_uuid] * 3
        unsubscribe()
        gate.release()
        await run_task(tasks, inference())
        assert len(notified) == 3


@in_loop
async def test_progress_is_reported_while_a_job_runs(tmp_path: Path) -> None:
    read, reported = threading.Semaphore(0), threading.Semaphore(0)

    class Slow(TinyEngine):
        def run(self, graph: Any, on_progress: Any, should_stop: Any) -> list[Path]:
            for share in (0.1, 0.5, 1.0):
                on_progress(share)
                reported.release()
                read.acquire()
            return super().run(graph, on_progress, should_stop)

    async with open_tasks(tmp_path, Slow(tmp_path / "work")) as tasks:
        task = inference(numberResults=2)
        await tasks.submit([task])
        reports = []
        for _ in range(6):
            await asyncio.to_thread(reported.acquire)
            state = await tasks.state(task.task_uuid)
            assert state is not None
            shares = [100 if result["status"] == "success" else result["progress"] for result in state.results]
            (entry,) = await tasks.overview()
            assert entry["progress"] == state.progress
            reports.append((*shares, state.progress))
            read.release()
        assert reports == [(10, 0, 5), (50, 0, 25), (99, 0, 49), (100, 10, 55), (100, 50, 75), (100, 99, 99)]


@in_loop
async def test_a_wait_times_out_and_unknown_tasks_have_no_state(tmp_path: Path) -> None:
    async with open_tasks(tmp_path, TinyEngine(tmp_path / "work", seconds=60)) as tasks:
        task = inference()
        await tasks.submit([task])
        state = await tasks.wait(task.task_uuid, 0.05)
        assert state is not None and state.status == "processing"
        unknown = inference().task_uuid
        assert await tasks.wait(unknown, 0.05) is None
        assert await tasks.state(unknown) is None and await tasks.details(unknown) is None
        assert await tasks.cancel(unknown) is False
        assert await tasks.state(task.task_uuid.upper()) == state, "UUIDs ignore case"


@in_loop
async def test_details_have_request_response_and_times_but_no_secrets(tmp_path: Path) -> None:
    async with open_tasks(tmp_path) as tasks:
        hook = "http://user-hook.example/hook?token=hush"
        task = inference(outputType="base64Data", seed=1, webhookURL=hook, settings={"bpm": 90})
        state = await run_task(tasks, task)
        details = await tasks.details(task.task_uuid)
        assert details is not None
        assert details["taskType"] == "getTaskDetails" and details["status"] == "success"
        assert details["request"][0]["settings"] == {"bpm": 90}
        assert "hush" not in json.dumps(details) and "user-hook.example" in details["request"][0]["webhookURL"]
        (data,) = details["response"]["data"]
        assert data.items() < state.results[0].items() and "audioBase64Data" not in data
        (entry,) = details["results"]
        assert details["accepted"] <= entry["started"] <= entry["finished"]
        assert (entry["attempts"], entry["status"], entry["usage"]["device"]) == (1, "success", "cpu")


@in_loop
async def test_the_overview_lists_the_queue(tmp_path: Path) -> None:
    gate = threading.Event()
    async with open_tasks(tmp_path, TinyEngine(tmp_path / "work", act=lambda g: gate.wait(WAIT_SECONDS))) as tasks:
        queue = [inference(positivePrompt="x" * 300, numberResults=2), inference(positivePrompt="second")]
        await tasks.submit(queue)
        entries: list[Any] = []
        for _ in range(200):
            entries = await tasks.overview()
            if entries[0]["status"] == "processing":
                break
            await asyncio.sleep(0.01)
        assert [entry["taskUUID"] for entry in entries] == [task.task_uuid for task in queue]
        assert [entry["status"] for entry in entries] == ["processing", "queued"]
        assert [(entry["numberResults"], entry["finishedResults"]) for entry in entries] == [(2, 0), (1, 0)]
        assert entries[0]["positivePrompt"] == "x" * 120 and entries[1]["positivePrompt"] == "second"
        gate.set()
        for task in queue:
            await finished(tasks, task)
        assert await tasks.overview() == []


@in_loop
async def test_a_result_never_starts_before_its_task_was_accepted(tmp_path: Path) -> None:
    """Transactions wait for each other, so the worker's time may be from before the task was accepted."""
    task = inference()
    async with open_tasks(tmp_path, TinyEngine(tmp_path / "work", seconds=60)) as tasks:
        await tasks.submit([task])
    database = TaskDatabase(tmp_path)
    try:
        assert database.transact_sync(jobs.claim, 0.0) is not None
        select = "SELECT r.started - t.accepted FROM results r JOIN tasks t ON t.number = r.task"
        assert database.transact_sync(lambda connection: connection.execute(select).fetchone()[0]) == 0
    finally:
        database.close()

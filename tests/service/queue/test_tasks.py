"""The task queue: seeds, order, limits, parallel engines, cancellation."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from service_tools import TinyEngine, in_loop, inference, seed_of, until
from task_queue import WAIT_SECONDS, finished, open_tasks, run_task

from acestep_xl.service.engine.protocol import Engine


@in_loop
async def test_a_missing_checkpoint_is_logged_at_the_start(tmp_path: Path, caplog: Any) -> None:
    async with open_tasks(tmp_path, demo=False) as tasks:
        assert "no task can run" in caplog.text and "acestep_v1.5_xl_sft" in caplog.text
        (error,) = (await run_task(tasks, inference())).errors
        assert error.code == "modelUnavailable" and error.status == 503
        assert "acestep_v1.5_xl_sft" in error.message and "acestep-xl download" in error.message
    caplog.clear()
    async with open_tasks(tmp_path):
        assert "no task can run" not in caplog.text


@in_loop
async def test_each_result_has_the_next_seed_and_its_own_uuid(tmp_path: Path) -> None:
    async with open_tasks(tmp_path) as tasks:
        state = await run_task(tasks, inference(seed=2**31 - 2, numberResults=4))
        assert [result["seed"] for result in state.results] == [2**31 - 2, 2**31 - 1, 0, 1]
        assert len({result["audioUUID"] for result in state.results}) == 4


@in_loop
async def test_a_random_seed_survives_a_restart_and_can_be_sent(tmp_path: Path) -> None:
    task = inference(numberResults=2)
    async with open_tasks(tmp_path, TinyEngine(tmp_path / "work", seconds=60)) as tasks:
        await tasks.submit([task])
        details = await tasks.details(task.task_uuid)
        assert details is not None
        planned = [(entry["audioUUID"], entry["seed"]) for entry in details["results"]]
    async with open_tasks(tmp_path) as tasks:
        state = await finished(tasks, task)
        assert [(result["audioUUID"], result["seed"]) for result in state.results] == planned
        first = planned[0][1]
        assert 0 <= first < 2**31 and planned[1][1] == (first + 1) % 2**31
        again = await run_task(tasks, inference(seed=first))
        assert again.status == "success"


@in_loop
async def test_the_queue_keeps_its_order(tmp_path: Path) -> None:
    engine = TinyEngine(tmp_path / "work", seconds=0.01)
    async with open_tasks(tmp_path, engine) as tasks:
        queue = [inference(seed=100 * n, numberResults=1 + n % 3) for n in range(6)]
        assert await tasks.submit(queue) == [None] * 6
        for task in queue:
            await finished(tasks, task)
    expected = [100 * n + i for n in range(6) for i in range(1 + n % 3)]
    assert [seed_of(graph) for graph in engine.graphs] == expected


@in_loop
async def test_jobs_run_off_the_event_loop_and_devices_work_in_parallel(tmp_path: Path) -> None:
    both_running = threading.Barrier(2, timeout=WAIT_SECONDS)
    threads: set[int] = set()

    def act(graph: Any) -> None:
        threads.add(threading.get_ident())
        both_running.wait()

    engines: list[Engine] = [TinyEngine(tmp_path / name, act=act) for name in ("one", "two")]
    async with open_tasks(tmp_path, engines) as tasks:
        state = await run_task(tasks, inference(numberResults=4))
        assert state.status == "success"
    assert len(threads) == 2 and threading.get_ident() not in threads
    assert all(isinstance(engine, TinyEngine) and engine.closed for engine in engines)


@in_loop
async def test_a_task_uuid_cannot_be_reused(tmp_path: Path) -> None:
    task = inference()
    async with open_tasks(tmp_path) as tasks:
        await run_task(tasks, task)
        upper_case = inference(taskUUID=task.task_uuid.upper())
        fresh = inference()
        first, second, third = await tasks.submit([task, upper_case, fresh])
        for errors in (first, second):
            assert errors is not None
            assert (errors[0].code, errors[0].parameter) == ("conflictTaskUUID", "taskUUID")
        assert third is None
    async with open_tasks(tmp_path) as tasks:
        (again,) = await tasks.submit([task])
        assert again is not None and again[0].code == "conflictTaskUUID"


@in_loop
async def test_the_queue_has_a_limit(tmp_path: Path) -> None:
    gate = threading.Event()
    engine = TinyEngine(tmp_path / "work", act=lambda graph: gate.wait(WAIT_SECONDS))
    async with open_tasks(tmp_path, engine, max_queue=2) as tasks:
        queue = [inference(numberResults=2) for _ in range(3)]
        answers = await tasks.submit(queue)
        assert answers[:2] == [None, None]
        assert answers[2] is not None
        (error,) = answers[2]
        assert (error.code, error.task_uuid) == ("queueFull", queue[2].task_uuid) and error.status == 429
        gate.set()
        await finished(tasks, queue[0])
        assert (await run_task(tasks, queue[2])).status == "success", "a refused task can be submitted again"


@in_loop
async def test_queued_and_running_tasks_can_be_cancelled(tmp_path: Path) -> None:
    engine = TinyEngine(tmp_path / "work", seconds=60)
    async with open_tasks(tmp_path, engine) as tasks:
        running, waiting = inference(numberResults=2), inference()
        await tasks.submit([running, waiting])
        await until(lambda: engine.graphs)
        for task in (waiting, running):
            assert await tasks.cancel(task.task_uuid)
            state = await finished(tasks, task)
            assert state.status == "error" and not state.results
            assert {(error.code, error.task_uuid) for error in state.errors} == {("taskCancelled", task.task_uuid)}
            assert len(state.errors) == task.value("numberResults")
        assert await tasks.cancel(running.task_uuid) is False, "it is finished"
        assert len(engine.graphs) == 1
        assert await tasks.overview() == []


@in_loop
async def test_finished_results_of_a_cancelled_task_stay(tmp_path: Path) -> None:
    gate = threading.Event()
    engine = TinyEngine(tmp_path / "work", act=lambda graph: None if seed_of(graph) == 7 else gate.wait(WAIT_SECONDS))
    async with open_tasks(tmp_path, engine) as tasks:
        task = inference(seed=7, numberResults=3)
        await tasks.submit([task])
        await until(lambda: len(engine.graphs) == 2)
        assert await tasks.cancel(task.task_uuid)
        gate.set()
        state = await finished(tasks, task)
        assert state.status == "error"
        assert [result["seed"] for result in state.results] in ([7], [7, 8]), "8 may have just finished"
        assert len(state.results) + len(state.errors) == 3

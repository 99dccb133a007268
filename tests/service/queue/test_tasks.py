"""The task queue: order, results, states, cancellation and expiry."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from service_tools import TinyEngine, audio_bytes, in_loop, inference, seed_of, until
from task_queue import WAIT_SECONDS, finished, open_tasks, run_task

from acestep_xl.service.engine.protocol import Engine
from acestep_xl.service.queue import cleanup


@in_loop
async def test_a_result_is_the_documented_object(tmp_path: Path) -> None:
    async with open_tasks(tmp_path, public_url="https://music.example/v1/") as tasks:
        task = inference(seed=41)
        state = await run_task(tasks, task)
        (result,) = state.results
        uuid = result["audioUUID"]
        assert result == {
            "taskType": "audioInference",
            "taskUUID": task.task_uuid,
            "status": "success",
            "audioUUID": uuid,
            "audioURL": f"https://music.example/v1/audio/{uuid}.mp3",
            "seed": 41,
        }
        assert (state.status, state.progress, state.errors) == ("success", 100, ())
        file = await tasks.file(uuid)
        assert file is not None and file[0].read_bytes() == audio_bytes(41) and file[1] == "audio/mpeg"
        assert await tasks.file(task.task_uuid) is None


@in_loop
async def test_result_urls_use_the_address_by_which_the_client_came(tmp_path: Path) -> None:
    async with open_tasks(tmp_path) as tasks:
        task = inference()
        await tasks.submit([task], base_url="http://studio.local:1234/")
        state = await finished(tasks, task)
        assert state.results[0]["audioURL"].startswith("http://studio.local:1234/audio/")
    async with open_tasks(tmp_path, public_url="https://music.example") as tasks:
        task = inference()
        await tasks.submit([task], base_url="http://studio.local:1234/")
        state = await finished(tasks, task)
        assert state.results[0]["audioURL"].startswith("https://music.example/audio/")


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


@pytest.mark.parametrize("kind", ["base64Data", "dataURI"])
@in_loop
async def test_audio_in_the_answer(kind: str, tmp_path: Path) -> None:
    task = inference(outputType=kind, seed=3, outputFormat="MP3")
    async with open_tasks(tmp_path) as tasks:
        (result,) = (await run_task(tasks, task)).results
    async with open_tasks(tmp_path) as tasks:
        state = await tasks.state(task.task_uuid)
        assert state is not None and state.results == (result,), "unchanged by a restart"
    assert "audioURL" not in result
    text = (
        result["audioBase64Data"]
        if kind == "base64Data"
        else result["audioDataURI"].removeprefix("data:audio/mpeg;base64,")
    )
    assert base64.b64decode(text, validate=True) == audio_bytes(3)


@in_loop
async def test_the_cost_is_included_on_request(tmp_path: Path) -> None:
    async with open_tasks(tmp_path, TinyEngine(tmp_path / "work", seconds=0.05), price_per_hour=3600) as tasks:
        (plain,) = (await run_task(tasks, inference())).results
        assert not {"cost", "costDetails"} & plain.keys()
        (result,) = (await run_task(tasks, inference(includeCost=True))).results
        details = result["costDetails"]
        assert result["cost"] == pytest.approx(details["seconds"], abs=1e-3) and details["seconds"] >= 0.05
        assert (details["device"], details["pricePerHour"]) == ("cpu", 3600)
    async with open_tasks(tmp_path) as tasks:
        (free,) = (await run_task(tasks, inference(includeCost=True))).results
        assert free["cost"] == 0.0


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
        assert (await run_task(tasks, queue[2])).status == "success", "a refused task may be sent again"


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


@in_loop
async def test_a_result_is_deleted_when_its_ttl_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup, "INTERVAL", 0.02)
    async with open_tasks(tmp_path) as tasks:
        short, long = inference(ttl=60), inference()
        uuids = [(await run_task(tasks, task)).results[0]["audioUUID"] for task in (short, long)]
        short_file, long_file = [await tasks.file(uuid) for uuid in uuids]
        assert short_file is not None and long_file is not None
        path = short_file[0]
        later = time.time() + 61
        monkeypatch.setattr(time, "time", lambda: later)
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
        later = time.time() + 3601
        monkeypatch.setattr(time, "time", lambda: later)
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
        later = time.time() + 61
        monkeypatch.setattr(time, "time", lambda: later)
        await asyncio.sleep(0.1)
        gate.set()
        assert (await finished(tasks, cover)).errors == ()
        await until(lambda: not list((tmp_path / "results").glob(f"{uuid}*")))


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

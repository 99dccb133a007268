"""The task queue when things go wrong: stops, crashes, failing nodes and bugs."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from service_tools import FakeRecordings, TinyEngine, audio_bytes, in_loop, inference, receiving, seed_of, until
from task_queue import finished, open_tasks, run_task

from acestep_xl.host.offload.accelerator import OutOfMemory
from acestep_xl.runner.graph import Graph
from acestep_xl.service.engine.protocol import RunError
from acestep_xl.service.queue import jobs
from acestep_xl.service.queue.data_folder import CRASH_TRACE
from acestep_xl.service.queue.database import Connection, TaskDatabase
from acestep_xl.service.queue.jobs import ATTEMPTS, Job
from acestep_xl.service.queue.result_files import publish
from acestep_xl.service.schema.task import Task


async def enqueue(folder: Path, *queue: Task) -> None:
    """Put tasks into the queue of a folder without finishing any."""
    async with open_tasks(folder, TinyEngine(folder / "work", seconds=60)) as tasks:
        assert await tasks.submit(queue) == [None] * len(queue)


def crash(folder: Path, act: Callable[[TaskDatabase, Job], object] | None = None) -> Job:
    """Leave a folder as a process does that dies while it runs the next job. act: what it still gets done."""
    database = TaskDatabase(folder)
    job = database.transact_sync(jobs.claim, time.time())
    assert job is not None
    if act is not None:
        act(database, job)
    database.close()
    return job


@in_loop
async def test_a_stop_requeues_the_running_job(tmp_path: Path) -> None:
    """However often, since a restart is not the task's fault."""
    task = inference(numberResults=2, seed=4)
    for _ in range(ATTEMPTS + 1):
        engine = TinyEngine(tmp_path / "work", seconds=60)
        async with open_tasks(tmp_path, engine) as tasks:
            await tasks.submit([task])
            await until(lambda engine=engine: engine.graphs)
        assert engine.closed
    async with open_tasks(tmp_path) as tasks:
        state = await finished(tasks, task)
        assert [result["seed"] for result in state.results] == [4, 5]
        details = await tasks.details(task.task_uuid)
        assert details is not None and [entry["attempts"] for entry in details["results"]] == [1, 1]


@in_loop
async def test_a_crash_repeats_only_unfinished_jobs(tmp_path: Path) -> None:
    task = inference(numberResults=3, seed=4)
    gate = threading.Event()
    engine = TinyEngine(tmp_path / "work", act=lambda graph: None if seed_of(graph) == 4 else gate.wait(20))
    async with open_tasks(tmp_path, engine) as tasks:
        await tasks.submit([task])
        await until(lambda: len(engine.graphs) == 2)
        before = await tasks.state(task.task_uuid)
        threading.Timer(0.05, gate.set).start()
    crash(tmp_path)
    restarted = TinyEngine(tmp_path / "work")
    async with open_tasks(tmp_path, restarted) as tasks:
        state = await finished(tasks, task)
    assert before is not None and state.results[0] == before.results[0]
    assert 4 not in [seed_of(graph) for graph in restarted.graphs]
    assert [result["seed"] for result in state.results] == [4, 5, 6]


@in_loop
async def test_a_job_that_kills_the_process_three_times_is_not_tried_again(tmp_path: Path) -> None:
    async with receiving() as receiver:
        deadly, other = inference(webhookURL=f"{receiver.url}/hook"), inference()
        await enqueue(tmp_path, deadly, other)
        for attempt in range(ATTEMPTS):
            assert crash(tmp_path).task_uuid == deadly.task_uuid, attempt
            if attempt + 1 < ATTEMPTS:
                database = TaskDatabase(tmp_path)
                database.transact_sync(jobs.recover, {}, {}, time.time(), "Fatal Python error: Segmentation fault")
                database.close()
        (tmp_path / CRASH_TRACE).write_text("Fatal Python error: Segmentation fault")
        engine = TinyEngine(tmp_path / "work")
        async with open_tasks(tmp_path, engine) as tasks:
            state = await finished(tasks, deadly)
            assert (state.status, [error.code for error in state.errors]) == ("error", ["taskCrashed"])
            assert state.errors[0].task_uuid == deadly.task_uuid and str(ATTEMPTS) in state.errors[0].message
            assert (await finished(tasks, other)).status == "success"
            await until(lambda: receiver.calls)
        assert len(engine.graphs) == 1
        assert receiver.bodies("/hook")[0]["code"] == "taskCrashed"


@in_loop
async def test_a_crash_between_publishing_and_the_commit(tmp_path: Path) -> None:
    task = inference(seed=3)
    await enqueue(tmp_path, task)

    def publish_only(database: TaskDatabase, job: Job) -> None:
        song = tmp_path / "song.mp3"
        song.write_bytes(b"an earlier song, which no client has seen")
        publish(song, tmp_path / "results" / f"{job.audio_uuid}.mp3")

    job = crash(tmp_path, publish_only)
    async with open_tasks(tmp_path) as tasks:
        state = await finished(tasks, task)
        assert [result["audioUUID"] for result in state.results] == [job.audio_uuid]
    files = list((tmp_path / "results").iterdir())
    assert [(file.name, file.read_bytes()) for file in files] == [(f"{job.audio_uuid}.mp3", audio_bytes(3))]


@in_loop
async def test_a_crash_between_the_commit_and_its_deliveries(tmp_path: Path) -> None:
    """A result and its deliveries are one transaction."""
    async with receiving() as receiver:
        task = inference(seed=3, webhookURL=f"{receiver.url}/hook", uploadEndpoint=f"{receiver.url}/up")
        await enqueue(tmp_path, task)

        def finish(database: TaskDatabase, job: Job) -> None:
            (tmp_path / "results").mkdir(exist_ok=True)
            (tmp_path / "results" / f"{job.audio_uuid}.mp3").write_bytes(b"committed")
            payload = {"taskUUID": job.task_uuid, "audioUUID": job.audio_uuid}
            result = jobs.JobResult(f"{job.audio_uuid}.mp3", payload, {}, None)
            assert database.transact_sync(jobs.finish, job, result, time.time()) is True
            assert database.transact_sync(jobs.finish, job, result, time.time()) is False
            assert database.transact_sync(jobs.fail, job.task_number, job.index, {}, time.time()) is False

        job = crash(tmp_path, finish)
        engine = TinyEngine(tmp_path / "work")
        async with open_tasks(tmp_path, engine) as tasks:
            state = await finished(tasks, task)
            await until(lambda: len(receiver.calls) == 2)
        assert not engine.graphs, "a committed result is never made again"
        assert [call[1] for call in receiver.calls] == ["/up", "/hook"] and receiver.calls[0][2] == b"committed"
        assert receiver.bodies("/hook")[0]["audioUUID"] == job.audio_uuid == state.results[0]["audioUUID"]


@in_loop
async def test_a_commit_that_fails_half_way_is_rolled_back(tmp_path: Path) -> None:
    task = inference(webhookURL="http://hook.example/")
    await enqueue(tmp_path, task)

    def half(connection: Connection, job: Job) -> None:
        jobs.finish(connection, job, jobs.JobResult("x.mp3", {}, {}, None), time.time())
        raise OSError("power cut")

    def finish(database: TaskDatabase, job: Job) -> None:
        with pytest.raises(OSError, match="power cut"):
            database.transact_sync(half, job)
        rows = database.transact_sync(lambda c: c.execute("SELECT state FROM results").fetchall())
        assert [row["state"] for row in rows] == ["running"]
        assert database.transact_sync(lambda c: c.execute("SELECT COUNT(*) FROM deliveries").fetchone()[0]) == 0

    crash(tmp_path, finish)


@in_loop
async def test_a_cancelled_task_stays_cancelled_after_a_crash(tmp_path: Path) -> None:
    task = inference(numberResults=2)
    await enqueue(tmp_path, task)
    crash(
        tmp_path,
        lambda database, job: database.transact_sync(jobs.cancel, task.task_uuid, {"code": "c", "message": "m"}, 0.0),
    )
    engine = TinyEngine(tmp_path / "work")
    async with open_tasks(tmp_path, engine) as tasks:
        state = await finished(tasks, task)
    assert len(state.errors) == 2 and state.errors[0].code == "taskCancelled" and not engine.graphs


@in_loop
async def test_leftovers_of_a_killed_process_are_deleted(tmp_path: Path) -> None:
    task = inference(seed=2)
    async with open_tasks(tmp_path) as tasks:
        uuid = (await run_task(tasks, task)).results[0]["audioUUID"]
    results = tmp_path / "results"
    (results / "0a.part").write_bytes(b"half a song")
    (results / "11111111-1111-4111-8111-111111111111.mp3").write_bytes(b"never committed")
    output = tmp_path / "work" / "output" / "service" / "x_00001_.mp3"
    output.parent.mkdir(parents=True)
    output.write_bytes(b"half a song")
    async with open_tasks(tmp_path) as tasks:
        file = await tasks.file(uuid)
        assert file is not None and file[0].read_bytes() == audio_bytes(2)
        assert (await run_task(tasks, inference(seed=8))).status == "success"
    assert results / f"{uuid}.mp3" in results.iterdir() and len(list(results.iterdir())) == 2


@in_loop
async def test_a_result_whose_file_is_gone(tmp_path: Path) -> None:
    async with open_tasks(tmp_path) as tasks:
        inline, linked = inference(outputType="base64Data"), inference()
        await tasks.submit([inline, linked])
        await finished(tasks, inline)
        uuid = (await finished(tasks, linked)).results[0]["audioUUID"]
        shutil.rmtree(tmp_path / "results")
        assert await tasks.file(uuid) is None
        assert [error.code for error in (await finished(tasks, inline)).errors] == ["resultExpired"]


FAILURES: list[tuple[RunError, dict[str, Any], str, Any]] = [
    (RunError("AceStepXLSampler", "ValueError", "NaN"), {}, "inferenceFailed", None),
    (RunError("AceStepXLSampler", "OutOfMemoryError", "CUDA out of\nmemory"), {}, "outOfMemory", None),
    (RunError("AceStepXLSampler", OutOfMemory.__name__, "out of memory while sampling"), {}, "outOfMemory", None),
    (RunError("AceStepXLSave", "MemoryError", ""), {}, "outOfMemory", None),
    (RunError("AceStepXLLoader", "FileNotFoundError", "no model"), {}, "modelUnavailable", None),
    (RunError("AceStepXLLoadAudio", "UnreadableAudio", "noise"), {"audio": 1}, "invalidAudio", "inputs.audio"),
    (RunError("AceStepXLLoadAudio", "RuntimeError", "bug"), {"audio": 1}, "inferenceFailed", None),
    (
        RunError("AceStepXLRepaint", "ValueError", "empty region"),
        {"audio": 1, "settings": {"repaintingStart": 90}},
        "invalidRegion",
        ("inputs.audio", "settings.repaintingStart"),
    ),
    (
        RunError("AceStepXLRecipe", "ValueError", "merged levels"),
        {"advancedFeatures": {"modularScheduler": "Euler"}},
        "invalidModularScheduler",
        "advancedFeatures.modularScheduler",
    ),
    (RunError("AceStepXLSchedule", "ValueError", "merged levels"), {}, "invalidSteps", "steps"),
]


@pytest.mark.parametrize(("failure", "values", "code", "parameter"), FAILURES, ids=lambda value: str(value)[:40])
@in_loop
async def test_a_failing_node_fails_only_its_own_result(
    failure: RunError, values: dict[str, Any], code: str, parameter: Any, tmp_path: Path
) -> None:
    recordings = FakeRecordings(tmp_path)
    uuid = "11111111-2222-4333-8444-555555555555"
    recordings.files[uuid] = b"RIFF"
    values = {**values, **({"inputs": {"audio": uuid}} if "audio" in values else {})}
    values.pop("audio", None)

    def act(graph: Graph) -> None:
        if seed_of(graph) == 1:
            raise failure

    async with open_tasks(tmp_path, TinyEngine(tmp_path / "work", act=act), recordings) as tasks:
        failing, other = inference(seed=0, numberResults=2, **values), inference()
        await tasks.submit([failing, other])
        state = await finished(tasks, failing)
        assert state.status == "error" and [result["seed"] for result in state.results] == [0]
        (error,) = state.errors
        assert (error.code, error.parameter, error.task_uuid) == (code, parameter, failing.task_uuid)
        assert failure.reason.split("\n")[0] in error.message and "\n" not in error.message
        assert (await finished(tasks, other)).status == "success"


@in_loop
async def test_a_bug_stops_neither_worker_nor_queue(tmp_path: Path) -> None:
    def act(graph: Graph) -> None:
        if seed_of(graph) == 1:
            raise ZeroDivisionError("bug")

    async with open_tasks(tmp_path, TinyEngine(tmp_path / "work", act=act)) as tasks:
        failing, other = inference(seed=1), inference(seed=2)
        await tasks.submit([failing, other])
        (error,) = (await finished(tasks, failing)).errors
        assert error.code == "internalError" and "bug" in error.message and error.status == 500
        assert (await finished(tasks, other)).status == "success"


@in_loop
async def test_a_stored_request_that_this_version_rejects_fails_its_task(tmp_path: Path) -> None:
    task, other = inference(), inference()
    await enqueue(tmp_path, task, other)
    database = TaskDatabase(tmp_path)
    old = '{"taskType": "audioInference", "positivePrompt": "from an earlier version"}'
    database.transact_sync(
        lambda c: c.execute("UPDATE tasks SET request = ? WHERE uuid = ?", (old, task.task_uuid)).rowcount
    )
    database.close()
    async with open_tasks(tmp_path) as tasks:
        (error,) = (await finished(tasks, task)).errors
        assert error.code == "internalError"
        assert (await finished(tasks, other)).status == "success"


@in_loop
async def test_a_run_that_saves_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TinyEngine, "run", lambda *_: [])
    async with open_tasks(tmp_path) as tasks:
        (error,) = (await run_task(tasks, inference())).errors
        assert error.code == "inferenceFailed" and "0 files" in error.message

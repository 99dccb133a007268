"""The engine room when things go wrong: crashes, full disks, damaged folders, failing nodes and sources."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from service_tools import NoMedia, TinyEngine, in_loop, inference, receiving, seed_of, sound, until

from acestep_xl.runner.graph import Graph
from acestep_xl.service.engine.protocol import DiskFull, RunError
from acestep_xl.service.queue import database, jobs, source_fetcher, worker
from acestep_xl.service.queue.database import FolderInUse, StorageFull, Store, StoreDamaged
from acestep_xl.service.queue.jobs import ATTEMPTS, Unit
from acestep_xl.service.queue.tasks import State, Tasks
from acestep_xl.service.schema.task import Task
from acestep_xl.service.settings import ServiceSettings
from acestep_xl.transfer.errors import Failed, Refused


@asynccontextmanager
async def serving(
    folder: Path, engine: TinyEngine | None = None, media: NoMedia | None = None, **settings: Any
) -> AsyncIterator[Tasks]:
    place = ServiceSettings(demo=True, allow_private=True, **settings)
    async with Tasks.open(folder, engine or TinyEngine(folder / "work"), place, media or NoMedia(folder)) as tasks:
        yield tasks


async def finished(tasks: Tasks, task: Task) -> State:
    state = await tasks.wait(task.task_uuid, 20)
    assert state is not None and state.status != "processing", state
    return state


async def accepted(folder: Path, *queue: Task) -> None:
    """Tasks in the queue of a folder, none of them begun."""
    async with serving(folder, TinyEngine(folder / "work", seconds=60)) as tasks:
        assert await tasks.submit(queue) == [None] * len(queue)


def die(folder: Path, most: Callable[[Store, Unit], None] | None = None) -> Unit:
    """What a process leaves that ends while it makes the next result, after `most` was done of it."""
    database = Store(folder)
    unit = database.ask(jobs.take, time.time())
    assert unit is not None
    if most is not None:
        most(database, unit)
    database.close()
    return unit


@in_loop
async def test_a_stop_gives_back_what_was_begun(tmp_path: Path) -> None:
    """However often: a restart is not the task's fault."""
    task = inference(numberResults=2, seed=4)
    for _ in range(ATTEMPTS + 1):
        engine = TinyEngine(tmp_path / "work", seconds=60)
        async with serving(tmp_path, engine) as tasks:
            await tasks.submit([task])
            await until(lambda engine=engine: engine.graphs)
        assert engine.closed
    async with serving(tmp_path) as tasks:
        state = await finished(tasks, task)
        assert [result["seed"] for result in state.results] == [4, 5]
        details = await tasks.details(task.task_uuid)
        assert details is not None and [entry["attempts"] for entry in details["results"]] == [1, 1]


@in_loop
async def test_a_crash_repeats_only_what_was_unfinished(tmp_path: Path) -> None:
    task = inference(numberResults=3, seed=4)
    gate = threading.Event()
    engine = TinyEngine(tmp_path / "work", act=lambda graph: None if seed_of(graph) == 4 else gate.wait(20))
    async with serving(tmp_path, engine) as tasks:
        await tasks.submit([task])
        await until(lambda: len(engine.graphs) == 2)
        before = await tasks.state(task.task_uuid)
        threading.Timer(0.05, gate.set).start()
    die(tmp_path)
    again = TinyEngine(tmp_path / "work")
    async with serving(tmp_path, again) as tasks:
        state = await finished(tasks, task)
    assert before is not None and state.results[0] == before.results[0]
    assert 4 not in [seed_of(graph) for graph in again.graphs]
    assert [result["seed"] for result in state.results] == [4, 5, 6]


@in_loop
async def test_a_result_that_kills_the_process_thrice_is_not_tried_again(tmp_path: Path) -> None:
    async with receiving() as there:
        deadly, other = inference(webhookURL=f"{there.url}/hook"), inference()
        await accepted(tmp_path, deadly, other)
        for attempt in range(ATTEMPTS):
            assert die(tmp_path).task_uuid == deadly.task_uuid, attempt
            if attempt + 1 < ATTEMPTS:
                database = Store(tmp_path)
                database.ask(jobs.recover, {}, {}, time.time())
                database.close()
        engine = TinyEngine(tmp_path / "work")
        async with serving(tmp_path, engine) as tasks:
            state = await finished(tasks, deadly)
            assert (state.status, [error.code for error in state.errors]) == ("error", ["taskCrashed"])
            assert state.errors[0].task_uuid == deadly.task_uuid and str(ATTEMPTS) in state.errors[0].message
            assert (await finished(tasks, other)).status == "success"
            await until(lambda: there.calls)
        assert len(engine.graphs) == 1
        assert there.bodies("/hook")[0]["code"] == "taskCrashed"


@in_loop
async def test_a_crash_after_the_file_has_its_name_and_before_the_commit(tmp_path: Path) -> None:
    task = inference(seed=3)
    await accepted(tmp_path, task)

    def publish(database: Store, unit: Unit) -> None:
        made = tmp_path / "made.mp3"
        made.write_bytes(b"an earlier song, which nobody was told of")
        worker.publish(made, tmp_path / "results" / f"{unit.audio_uuid}.mp3")

    unit = die(tmp_path, publish)
    async with serving(tmp_path) as tasks:
        state = await finished(tasks, task)
        assert [result["audioUUID"] for result in state.results] == [unit.audio_uuid]
    files = list((tmp_path / "results").iterdir())
    assert [(file.name, file.read_bytes()) for file in files] == [(f"{unit.audio_uuid}.mp3", sound(3))]


@in_loop
async def test_a_crash_after_the_commit_and_before_any_delivery(tmp_path: Path) -> None:
    """Result and deliveries are one transaction, so there is no crash between them."""
    async with receiving() as there:
        task = inference(seed=3, webhookURL=f"{there.url}/hook", uploadEndpoint=f"{there.url}/up")
        await accepted(tmp_path, task)

        def finish(database: Store, unit: Unit) -> None:
            (tmp_path / "results").mkdir(exist_ok=True)
            (tmp_path / "results" / f"{unit.audio_uuid}.mp3").write_bytes(b"committed")
            answer = {"taskUUID": unit.task_uuid, "audioUUID": unit.audio_uuid}
            made = jobs.Made(f"{unit.audio_uuid}.mp3", answer, {}, None)
            assert database.ask(jobs.finish, unit, made, time.time()) is True
            assert database.ask(jobs.finish, unit, made, time.time()) is False
            assert database.ask(jobs.fail, unit.task, unit.place, {}, time.time()) is False

        unit = die(tmp_path, finish)
        engine = TinyEngine(tmp_path / "work")
        async with serving(tmp_path, engine) as tasks:
            state = await finished(tasks, task)
            await until(lambda: len(there.calls) == 2)
        assert not engine.graphs, "what is committed is never made again"
        assert [call[1] for call in there.calls] == ["/up", "/hook"] and there.calls[0][2] == b"committed"
        assert there.bodies("/hook")[0]["audioUUID"] == unit.audio_uuid == state.results[0]["audioUUID"]


@in_loop
async def test_a_commit_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    task = inference(webhookURL="http://hook.example/")
    await accepted(tmp_path, task)

    def half(connection: database.Connection, unit: Unit) -> None:
        jobs.finish(connection, unit, jobs.Made("x.mp3", {}, {}, None), time.time())
        raise OSError("power cut")

    def finish(database: Store, unit: Unit) -> None:
        with pytest.raises(OSError, match="power cut"):
            database.ask(half, unit)
        rows = database.ask(lambda c: c.execute("SELECT state FROM results").fetchall())
        assert [row["state"] for row in rows] == ["running"]
        assert database.ask(lambda c: c.execute("SELECT COUNT(*) FROM deliveries").fetchone()[0]) == 0

    die(tmp_path, finish)


@in_loop
async def test_a_cancelled_task_stays_cancelled_over_a_crash(tmp_path: Path) -> None:
    task = inference(numberResults=2)
    await accepted(tmp_path, task)
    die(tmp_path, lambda database, unit: database.ask(jobs.cancel, task.task_uuid, {"code": "c", "message": "m"}, 0.0))
    engine = TinyEngine(tmp_path / "work")
    async with serving(tmp_path, engine) as tasks:
        state = await finished(tasks, task)
    assert len(state.errors) == 2 and state.errors[0].code == "taskCancelled" and not engine.graphs


@in_loop
async def test_leftovers_of_a_killed_process_are_cleared_away(tmp_path: Path) -> None:
    task = inference(seed=2)
    async with serving(tmp_path) as tasks:
        await tasks.submit([task])
        uuid = (await finished(tasks, task)).results[0]["audioUUID"]
    keep, lost = tmp_path / "results" / f"{uuid}.mp3", tmp_path / "results" / "0a.part"
    lost.write_bytes(b"half a song")
    (tmp_path / "results" / "11111111-1111-4111-8111-111111111111.mp3").write_bytes(b"never committed")
    inside = tmp_path / "work" / "output" / "service" / "x_00001_.mp3"
    inside.parent.mkdir(parents=True)
    inside.write_bytes(b"half a song")
    async with serving(tmp_path) as tasks:
        found = await tasks.file(uuid)
        assert found is not None and found[0].read_bytes() == sound(2)
        again = inference(seed=8)
        await tasks.submit([again])
        assert (await finished(tasks, again)).status == "success"
    assert keep in (tmp_path / "results").iterdir() and len(list((tmp_path / "results").iterdir())) == 2


@in_loop
async def test_a_result_whose_file_was_deleted(tmp_path: Path) -> None:
    async with serving(tmp_path) as tasks:
        shown, linked = inference(outputType="base64Data"), inference()
        await tasks.submit([shown, linked])
        await finished(tasks, shown)
        uuid = (await finished(tasks, linked)).results[0]["audioUUID"]
        shutil.rmtree(tmp_path / "results")
        assert await tasks.file(uuid) is None
        assert [error.code for error in (await finished(tasks, shown)).errors] == ["resultExpired"]


@in_loop
async def test_a_full_disk_holds_the_queue_up_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "REST", 0.1)
    room: list[bool] = []

    def act(graph: Graph) -> None:
        if not room:
            raise DiskFull("no room for the result: No space left on device")

    engine = TinyEngine(tmp_path / "work", act=act)
    async with serving(tmp_path, engine) as tasks:
        queue = [inference(seed=1), inference(seed=2)]
        await tasks.submit(queue)
        await until(lambda: len(engine.graphs) > ATTEMPTS + 1)
        (first, _) = await tasks.overview()
        assert "No space left" in first["problem"]
        room.append(True)
        for task in queue:
            assert (await finished(tasks, task)).status == "success"
        assert await tasks.overview() == []
    order = [seed_of(graph) for graph in engine.graphs]
    assert order == sorted(order), "the queue keeps its order"


@in_loop
async def test_a_result_that_cannot_be_written_down_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "REST", 0.05)
    whole, missed = Store.ask, []

    def ask(self: Store, work: Any, *args: Any) -> Any:
        if work is jobs.finish and len(missed) < 3:
            missed.append(args)
            raise StorageFull("the disk is full")
        return whole(self, work, *args)

    monkeypatch.setattr(Store, "ask", ask)
    engine = TinyEngine(tmp_path / "work")
    async with serving(tmp_path, engine) as tasks:
        task = inference()
        await tasks.submit([task])
        assert (await finished(tasks, task)).status == "success"
    assert (len(missed), len(engine.graphs)) == (3, 1)


@in_loop
async def test_a_task_for_which_there_is_no_room_is_refused_in_words(tmp_path: Path) -> None:
    async with serving(tmp_path) as tasks:

        def shrink(connection: database.Connection) -> None:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            connection.execute(f"PRAGMA max_page_count = {pages}")

        tasks._store._thread.submit(shrink, tasks._store._connection).result()
        refused, task = None, inference()
        while refused is None:
            task = inference(positivePrompt="x" * 3000)
            (refused,) = await tasks.submit([task])
        (error,) = refused
        assert error.code == "storageFull" and "full" in error.message and error.task_uuid == task.task_uuid
        assert await tasks.state(task.task_uuid) is None
        tasks._store._thread.submit(tasks._store._connection.execute, "PRAGMA max_page_count = 100000").result()
        assert await tasks.submit([task]) == [None], "the same task may come again"


@in_loop
async def test_one_folder_is_for_one_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "PATIENCE", 0.05)
    async with serving(tmp_path) as tasks:
        with pytest.raises(FolderInUse, match=f"another server works in {tmp_path}: stop it, or give this one"):
            async with serving(tmp_path):
                pass
        task = inference()
        await tasks.submit([task])
        assert (await finished(tasks, task)).status == "success", "the first one goes on"
    async with serving(tmp_path):
        pass


def test_a_damaged_database_and_one_of_a_later_version_are_refused(tmp_path: Path) -> None:
    (tmp_path / database.NAME).write_bytes(b"no database at all" * 1000)
    with pytest.raises(StoreDamaged, match="restore it, or move it away"):
        Store(tmp_path)
    (tmp_path / database.NAME).unlink()
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / database.NAME) as connection:
        connection.execute(f"PRAGMA user_version = {database.VERSION + 1}")
    connection.close()
    with pytest.raises(ValueError, match="later version of this program"):
        Store(tmp_path)


FAILURES: list[tuple[RunError, dict[str, Any], str, Any]] = [
    (RunError("AceStepXLSampler", "ValueError", "NaN"), {}, "inferenceFailed", None),
    (RunError("AceStepXLSampler", "OutOfMemoryError", "CUDA out of\nmemory"), {}, "outOfMemory", None),
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
async def test_a_failing_node_is_an_error_of_its_task_alone(
    failure: RunError, values: dict[str, Any], code: str, parameter: Any, tmp_path: Path
) -> None:
    media = NoMedia(tmp_path)
    uuid = "11111111-2222-4333-8444-555555555555"
    media.files[uuid] = b"RIFF"
    values = {**values, **({"inputs": {"audio": uuid}} if "audio" in values else {})}
    values.pop("audio", None)

    def act(graph: Graph) -> None:
        if seed_of(graph) == 1:
            raise failure

    async with serving(tmp_path, TinyEngine(tmp_path / "work", act=act), media) as tasks:
        failing, other = inference(seed=0, numberResults=2, **values), inference()
        await tasks.submit([failing, other])
        state = await finished(tasks, failing)
        assert state.status == "error" and [result["seed"] for result in state.results] == [0]
        (error,) = state.errors
        assert (error.code, error.parameter, error.task_uuid) == (code, parameter, failing.task_uuid)
        assert failure.reason.split("\n")[0] in error.message and "\n" not in error.message
        assert (await finished(tasks, other)).status == "success"


@in_loop
async def test_a_fault_of_the_program_ends_neither_worker_nor_queue(tmp_path: Path) -> None:
    def act(graph: Graph) -> None:
        if seed_of(graph) == 1:
            raise ZeroDivisionError("surprise")

    async with serving(tmp_path, TinyEngine(tmp_path / "work", act=act)) as tasks:
        failing, other = inference(seed=1), inference(seed=2)
        await tasks.submit([failing, other])
        (error,) = (await finished(tasks, failing)).errors
        assert error.code == "internalError" and "surprise" in error.message and error.status == 500
        assert (await finished(tasks, other)).status == "success"


@in_loop
async def test_a_request_that_this_version_no_longer_reads_is_an_error(tmp_path: Path) -> None:
    task, other = inference(), inference()
    await accepted(tmp_path, task, other)
    database = Store(tmp_path)
    old = '{"taskType": "audioInference", "positivePrompt": "of an earlier version"}'
    database.ask(lambda c: c.execute("UPDATE tasks SET request = ? WHERE uuid = ?", (old, task.task_uuid)).rowcount)
    database.close()
    async with serving(tmp_path) as tasks:
        (error,) = (await finished(tasks, task)).errors
        assert error.code == "internalError"
        assert (await finished(tasks, other)).status == "success"


@in_loop
async def test_a_run_that_saves_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TinyEngine, "run", lambda *_: [])
    async with serving(tmp_path) as tasks:
        task = inference()
        await tasks.submit([task])
        (error,) = (await finished(tasks, task)).errors
        assert error.code == "inferenceFailed" and "0 files" in error.message


def test_a_file_comes_from_another_file_system_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, target = tmp_path / "made.mp3", tmp_path / "results" / "a.mp3"
    made.write_bytes(b"song")
    whole = os.replace

    def replace(source: Path, into: Path) -> None:
        if source == made:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        whole(source, into)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(os, "rename", replace)
    worker.publish(made, target)
    assert target.read_bytes() == b"song" and list(target.parent.iterdir()) == [target]


def test_no_room_for_a_file_leaves_no_half_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, target = tmp_path / "made.mp3", tmp_path / "results" / "a.mp3"
    made.write_bytes(b"song")

    def sync(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(DiskFull, match="No space left on device"):
        worker.publish(made, target)
    assert list(target.parent.iterdir()) == []


URL = "http://songs.example/a.wav?signature=hush"
UUID = "11111111-2222-4333-8444-555555555555"


@in_loop
async def test_sources_by_url_by_upload_and_by_result(tmp_path: Path) -> None:
    media = NoMedia(tmp_path)
    media.files |= {URL: b"fetched", UUID: b"uploaded"}
    taken: list[bytes] = []
    engine = TinyEngine(tmp_path / "work")
    whole = engine.take_in
    engine.take_in = lambda source: taken.append(source.read_bytes()) or whole(source)  # type: ignore[method-assign] # watched
    async with serving(tmp_path, engine, media) as tasks:
        song = inference(seed=6)
        await tasks.submit([song])
        own = (await finished(tasks, song)).results[0]["audioUUID"]
        for audio in (URL, UUID, own):
            task = inference(inputs={"audio": audio}, strength=0.5)
            await tasks.submit([task])
            assert (await finished(tasks, task)).errors == ()
    assert taken == [b"fetched", b"uploaded", sound(6)]


@in_loop
async def test_an_unknown_source_is_refused_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as tasks:
        task = inference(inputs={"audio": UUID})
        ((error,),) = await tasks.submit([task])  # type: ignore[misc] # a refusal
        assert (error.code, error.parameter, error.task_uuid) == ("invalidAudio", "inputs.audio", task.task_uuid)
        assert UUID in error.message and await tasks.state(task.task_uuid) is None


@pytest.mark.parametrize(
    ("fault", "attempts"),
    [
        (Refused(URL, "127.0.0.1 is a loopback address, which is not allowed"), 1),
        (Failed(URL, "the server answered with status 500"), source_fetcher.ATTEMPTS),
        (ValueError("this is no sound"), 1),
        (ZeroDivisionError("surprise"), source_fetcher.ATTEMPTS),
    ],
    ids=lambda value: type(value).__name__,
)
@in_loop
async def test_a_source_that_cannot_be_had_fails_its_task(
    fault: Exception, attempts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_fetcher, "DELAY", 0.001)
    media, tried = NoMedia(tmp_path), []
    media.files[URL] = fault
    whole = media.fetch

    async def fetch(url: str) -> Path:
        tried.append(url)
        return await whole(url)

    media.fetch = fetch  # type: ignore[method-assign] # watched
    async with serving(tmp_path, media=media) as tasks:
        task = inference(inputs={"audio": URL}, numberResults=2)
        await tasks.submit([task])
        state = await finished(tasks, task)
        assert [(e.code, e.parameter, e.task_uuid) for e in state.errors] == [
            ("invalidAudio", "inputs.audio", task.task_uuid)
        ] * 2
        assert "hush" not in state.errors[0].message
    assert len(tried) == attempts


@in_loop
async def test_a_slow_source_holds_up_no_other_task(tmp_path: Path) -> None:
    media, there = NoMedia(tmp_path), asyncio.Event()
    media.files[URL] = b"late"
    whole = media.fetch

    async def fetch(url: str) -> Path:
        await there.wait()
        return await whole(url)

    media.fetch = fetch  # type: ignore[method-assign] # slow
    async with serving(tmp_path, media=media) as tasks:
        covers = [inference(inputs={"audio": URL}) for _ in range(2 * source_fetcher.AT_ONCE)]
        song = inference()
        await tasks.submit([*covers, song])
        assert (await finished(tasks, song)).status == "success"
        first = (await tasks.overview())[0]
        assert first["status"] == "queued" and "songs.example" in first["problem"] and "hush" not in first["problem"]
        assert await tasks.cancel(covers[0].task_uuid)
        there.set()
        for cover in covers[1:]:
            assert (await finished(tasks, cover)).status == "success"
        assert (await finished(tasks, covers[0])).errors[0].code == "taskCancelled"


@in_loop
async def test_sources_are_fetched_again_after_a_restart(tmp_path: Path) -> None:
    media = NoMedia(tmp_path)
    task = inference(inputs={"audio": URL})

    async def never(url: str) -> Path:
        await asyncio.sleep(60)
        raise AssertionError

    media.fetch = never  # type: ignore[method-assign] # slow
    async with serving(tmp_path, media=media) as tasks:
        await tasks.submit([task])
        await asyncio.sleep(0.05)
    again = NoMedia(tmp_path)
    again.files[URL] = b"at last"
    async with serving(tmp_path, media=again) as tasks:
        assert (await finished(tasks, task)).status == "success"

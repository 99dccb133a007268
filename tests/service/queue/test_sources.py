"""The sources of tasks: fetched by URL, uploaded, or results of earlier tasks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from service_tools import FakeRecordings, TinyEngine, audio_bytes, in_loop, inference
from task_queue import finished, open_tasks, run_task

from acestep_xl.service.queue import source_fetcher
from acestep_xl.transfer.errors import Failed, Refused

URL = "http://songs.example/a.wav?signature=hush"
UUID = "11111111-2222-4333-8444-555555555555"


@in_loop
async def test_a_source_is_a_url_an_upload_or_a_result(tmp_path: Path) -> None:
    recordings = FakeRecordings(tmp_path)
    recordings.files |= {URL: b"fetched", UUID: b"uploaded"}
    imported: list[bytes] = []
    engine = TinyEngine(tmp_path / "work")
    original = engine.import_source
    engine.import_source = lambda source: imported.append(source.read_bytes()) or original(source)  # type: ignore[method-assign] # watched
    async with open_tasks(tmp_path, engine, recordings) as tasks:
        result = (await run_task(tasks, inference(seed=6))).results[0]["audioUUID"]
        for audio in (URL, UUID, result):
            task = inference(inputs={"audio": audio}, strength=0.5)
            assert (await run_task(tasks, task)).errors == ()
    assert imported == [b"fetched", b"uploaded", audio_bytes(6)]


@in_loop
async def test_an_unknown_source_is_refused_at_once(tmp_path: Path) -> None:
    async with open_tasks(tmp_path) as tasks:
        task = inference(inputs={"audio": UUID})
        ((error,),) = await tasks.submit([task])  # type: ignore[misc] # a refusal
        assert (error.code, error.parameter, error.task_uuid) == ("invalidAudio", "inputs.audio", task.task_uuid)
        assert UUID in error.message and await tasks.state(task.task_uuid) is None


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (Refused(URL, "127.0.0.1 is a loopback address, which is not allowed"), 1),
        (Failed(URL, "the server answered with status 500"), source_fetcher.ATTEMPTS),
        (ValueError("it is not audio"), 1),
        (ZeroDivisionError("bug"), source_fetcher.ATTEMPTS),
    ],
    ids=lambda value: type(value).__name__,
)
@in_loop
async def test_a_source_that_cannot_be_fetched_fails_its_task(
    error: Exception, attempts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_fetcher, "RETRY_SECONDS", 0.001)
    recordings, urls = FakeRecordings(tmp_path), []
    recordings.files[URL] = error
    original = recordings.fetch

    async def fetch(url: str) -> Path:
        urls.append(url)
        return await original(url)

    recordings.fetch = fetch  # type: ignore[method-assign] # watched
    async with open_tasks(tmp_path, recordings=recordings) as tasks:
        task = inference(inputs={"audio": URL}, numberResults=2)
        state = await run_task(tasks, task)
        reported = [(e.code, e.parameter, e.task_uuid) for e in state.errors]
        assert reported == [("invalidAudio", "inputs.audio", task.task_uuid)] * 2
        assert "hush" not in state.errors[0].message
    assert len(urls) == attempts


@in_loop
async def test_a_slow_source_blocks_no_other_task(tmp_path: Path) -> None:
    recordings, released = FakeRecordings(tmp_path), asyncio.Event()
    recordings.files[URL] = b"late"
    original = recordings.fetch

    async def fetch(url: str) -> Path:
        await released.wait()
        return await original(url)

    recordings.fetch = fetch  # type: ignore[method-assign] # slow
    async with open_tasks(tmp_path, recordings=recordings) as tasks:
        covers = [inference(inputs={"audio": URL}) for _ in range(2 * source_fetcher.CONCURRENCY)]
        song = inference()
        await tasks.submit([*covers, song])
        assert (await finished(tasks, song)).status == "success"
        first = (await tasks.overview())[0]
        assert first["status"] == "queued" and "songs.example" in first["problem"] and "hush" not in first["problem"]
        assert await tasks.cancel(covers[0].task_uuid)
        released.set()
        for cover in covers[1:]:
            assert (await finished(tasks, cover)).status == "success"
        assert (await finished(tasks, covers[0])).errors[0].code == "taskCancelled"


@in_loop
async def test_sources_are_fetched_again_after_a_restart(tmp_path: Path) -> None:
    recordings = FakeRecordings(tmp_path)
    task = inference(inputs={"audio": URL})

    async def never(url: str) -> Path:
        await asyncio.sleep(60)
        raise AssertionError

    recordings.fetch = never  # type: ignore[method-assign] # slow
    async with open_tasks(tmp_path, recordings=recordings) as tasks:
        await tasks.submit([task])
        await asyncio.sleep(0.05)
    fast = FakeRecordings(tmp_path)
    fast.files[URL] = b"at last"
    async with open_tasks(tmp_path, recordings=fast) as tasks:
        assert (await finished(tasks, task)).status == "success"

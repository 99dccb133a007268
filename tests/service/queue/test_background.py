"""What runs in the background survives unforeseen errors, says so, and leaves nothing unfinished or behind."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from local_service import serving
from service_tools import FakeRecordings, TinyEngine, in_loop, inference, receiving, until
from task_queue import finished, open_tasks, run_task

from acestep_xl.service.queue import jobs, retention, sources, worker
from acestep_xl.service.queue.background import cleanup, supervisor
from acestep_xl.service.queue.background.poller import Poller
from acestep_xl.service.queue.delivery import deliveries


def fail_first(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, times: int = 1) -> list[int]:
    """Let the first calls of a function raise what nobody foresees. Returns a list with an entry for each."""
    work: Callable[..., Any] = getattr(module, name)
    failures: list[int] = []

    def fail(*args: Any) -> Any:
        if len(failures) < times:
            failures.append(1)
            raise ZeroDivisionError("unforeseen")
        return work(*args)

    monkeypatch.setattr(module, name, fail)
    return failures


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY", 0.05)
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.05)


@pytest.mark.parametrize("name", ["list_hosts", "list_due", "next_due"])
@in_loop
async def test_deliveries_continue(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = fail_first(monkeypatch, deliveries, name, times=2)
    async with receiving() as receiver, open_tasks(tmp_path) as tasks:
        await tasks.submit([inference(webhookURL=f"{receiver.url}/hook")])
        await until(lambda: receiver.calls and len(failures) == 2)  # one call may come before the second failure
        assert "deliveries failed (ZeroDivisionError)" in tasks.problems[0]


@in_loop
async def test_sources_continue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = fail_first(monkeypatch, sources, "list_pending", times=2)
    recordings = FakeRecordings(tmp_path)
    recordings.files["http://a.example/b.wav"] = b"RIFF"
    async with open_tasks(tmp_path, recordings=recordings) as tasks:
        task = inference(inputs={"audio": "http://a.example/b.wav"})
        assert (await run_task(tasks, task)).status == "success"
        assert len(failures) == 2 and "fetching sources failed" in tasks.problems[0]


@in_loop
async def test_expired_files_are_still_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanup, "INTERVAL", 0.05)
    failures = fail_first(monkeypatch, retention, "expire_files")
    async with open_tasks(tmp_path) as tasks:
        await run_task(tasks, inference(ttl=60))
        await until(lambda: failures)
        tasks._database.transact_sync(lambda c: c.execute("UPDATE results SET expires = 1").rowcount)
        await until(lambda: not list((tmp_path / "results").iterdir()))


@in_loop
async def test_a_problem_is_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "STABLE_SECONDS", 0.2)
    loops, calls = supervisor.Supervisor(), []

    async def run() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError
        await asyncio.Event().wait()

    loops.start("counting", run)
    await until(lambda: len(calls) == 2)
    assert loops.problems == ["counting failed (ZeroDivisionError) and started again; the server's log has the details"]
    await until(lambda: not loops.problems)
    await loops.stop()


@pytest.mark.parametrize("error", [sqlite3.OperationalError("database is locked"), ZeroDivisionError("unforeseen")])
@in_loop
async def test_a_commit_that_fails_is_repeated(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, failures = jobs.finish, []

    def fail(*args: Any) -> bool:
        if len(failures) < worker.COMMIT_TRIES - 1:
            failures.append(1)
            raise error
        return finish(*args)

    monkeypatch.setattr(jobs, "finish", fail)
    engine = TinyEngine(tmp_path / "work")
    async with open_tasks(tmp_path, engine) as tasks:
        assert (await run_task(tasks, inference())).status == "success"
        assert tasks.problems == []
    assert len(engine.graphs) == 1, "the song is not made again"


@in_loop
async def test_a_result_that_can_never_be_recorded_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_first(monkeypatch, jobs, "finish", times=worker.COMMIT_TRIES)
    async with open_tasks(tmp_path) as tasks:
        (error,) = (await run_task(tasks, inference())).errors
        assert error.code == "internalError"
        assert (await run_task(tasks, inference())).status == "success"


@pytest.mark.parametrize("name", ["fail", "settle_stopped"])
@in_loop
async def test_an_error_or_a_stop_that_cannot_be_recorded_is_repeated(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act(_: Any) -> None:
        raise ZeroDivisionError("bug")

    engine = TinyEngine(tmp_path / "work", 60, None) if name != "fail" else TinyEngine(tmp_path / "work", act=act)
    async with open_tasks(tmp_path, engine) as tasks:
        task = inference()
        await tasks.submit([task])
        if name != "fail":
            await until(lambda: engine.graphs)
        failures = fail_first(monkeypatch, jobs, name, times=2)
        if name != "fail":
            await tasks.cancel(task.task_uuid)
        state = await finished(tasks, task)
        assert [error.code for error in state.errors] == ["internalError" if name == "fail" else "taskCancelled"]
        assert name == "fail" or len(failures) == 2


@in_loop
async def test_waiting_for_tasks_leaves_nothing_behind(tmp_path: Path) -> None:
    async with open_tasks(tmp_path) as tasks:
        for _ in range(20):
            await run_task(tasks, inference())
        task = inference()
        await tasks.submit([task])
        await asyncio.gather(*(tasks.wait(task.task_uuid, seconds) for seconds in (0, 0.001, 5, 5)))
        await tasks.wait("11111111-2222-4333-8444-555555555555", 5)
        assert tasks._events._waiting == {}


@in_loop
async def test_a_stop_together_with_a_wake_stops() -> None:
    """In the same turn of the event loop, as at the end of a server whose last delivery ends."""
    poller = Poller()

    async def poll() -> float | None:
        return 60.0

    for _ in range(20):
        run = asyncio.ensure_future(poller.run(poll))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        poller.wake()
        run.cancel()
        await asyncio.wait([run], timeout=60)
        assert run.cancelled()


@in_loop
async def test_the_health_and_the_queue_say_what_has_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = fail_first(monkeypatch, deliveries, "list_hosts")
    async with serving(tmp_path, TinyEngine(tmp_path / "work", seconds=60)) as local:
        await local.send(inference(deliveryMethod="async").to_json())
        await until(lambda: failures)
        health = json.loads((await local.get("/health"))[2])
        assert health["status"] == "failing" and "deliveries failed" in health["problems"][0]
        (entry,) = json.loads((await local.get("/queue"))[2])["data"]
        assert "deliveries failed" in entry["problem"]
    async with serving(tmp_path) as local:
        health = json.loads((await local.get("/health"))[2])
        assert (health["status"], health["problems"]) == ("ok", [])

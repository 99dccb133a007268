"""Webhooks and uploads: at least one call per result, with the same body each time, until it is accepted."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from service_tools import TinyEngine, audio_bytes, in_loop, inference, receiving, until
from task_queue import fill_disk, open_tasks, pass_time

from acestep_xl.service.engine.protocol import RunError
from acestep_xl.service.queue.delivery import outbox
from acestep_xl.service.queue.delivery.deliveries import complete
from acestep_xl.service.queue.tasks import Tasks
from acestep_xl.service.schema.task import Task


async def delivered(tasks: Tasks, task: Task, states: tuple[str, ...] = ("done", "failed")) -> list[dict[str, Any]]:
    """A task's deliveries, once all of them are in one of these states."""
    details: Any = None
    for _ in range(1000):
        details = await tasks.details(task.task_uuid)
        assert details is not None
        deliveries = [entry for result in details["results"] for entry in result.get("deliveries", [])]
        if details["status"] != "processing" and all(entry["state"] in states for entry in deliveries):
            return deliveries
        await asyncio.sleep(0.01)
    raise AssertionError(details)


@in_loop
async def test_each_result_is_sent_once_as_getresponse_returns_it(tmp_path: Path) -> None:
    async with receiving() as receiver, open_tasks(tmp_path) as tasks:
        task = inference(numberResults=3, webhookURL=f"{receiver.url}/hook?token=abc", includeCost=True)
        await tasks.submit([task])
        await delivered(tasks, task)
        state = await tasks.state(task.task_uuid)
        assert state is not None
        bodies = {entry["audioUUID"]: entry for entry in receiver.bodies("/hook")}
        assert len(receiver.calls) == 3 and list(state.results) == [bodies[r["audioUUID"]] for r in state.results]
        assert {(call[0], call[3]) for call in receiver.calls} == {("POST", "application/json")}


@in_loop
async def test_a_call_is_repeated_byte_for_byte_until_it_is_accepted(tmp_path: Path) -> None:
    async with receiving() as receiver, open_tasks(tmp_path) as tasks:
        statuses = {1: 500, 2: 404, 3: 302, 4: 204}
        receiver.answers["/hook"] = lambda count: statuses[count]
        task = inference(webhookURL=f"{receiver.url}/hook", positivePrompt="Ünï – 音楽")
        await tasks.submit([task])
        (entry,) = await delivered(tasks, task)
        assert (entry["state"], entry["attempts"]) == ("done", 4) and "problem" not in entry
        assert len(receiver.calls) == 4 and len({call[2] for call in receiver.calls}) == 1
        gaps = [b[4] - a[4] for a, b in zip(receiver.calls, receiver.calls[1:], strict=False)]
        assert all(gap >= 0.75 * 0.25 * 2**n for n, gap in enumerate(gaps)), gaps


def test_retries_follow_the_hosted_service() -> None:
    for attempts in range(40):
        longest = min(0.25 * 2**attempts, 8.0)
        delays = [outbox.retry_delay(attempts) for _ in range(200)]
        assert all(0.75 * longest <= delay <= longest for delay in delays)
        assert len(set(delays)) > 100, "jitter, so that calls do not come in bursts"


@pytest.mark.parametrize("kind", ["base64Data", "dataURI"])
@in_loop
async def test_a_webhook_carries_the_audio_if_the_answer_does(kind: str, tmp_path: Path) -> None:
    async with receiving() as receiver, open_tasks(tmp_path) as tasks:
        receiver.answers["/hook"] = lambda count: 200 if count > 1 else 500
        task = inference(seed=9, outputType=kind, webhookURL=f"{receiver.url}/hook")
        await tasks.submit([task])
        await delivered(tasks, task)
        state = await tasks.state(task.task_uuid)
        key = "audioBase64Data" if kind == "base64Data" else "audioDataURI"
        assert state is not None and base64.b64decode(state.results[0][key].read().rpartition(",")[2]) == audio_bytes(9)
        assert receiver.bodies("/hook") == [{**state.results[0], key: state.results[0][key].read()}] * 2


@in_loop
async def test_failed_and_cancelled_results_are_sent_too(tmp_path: Path) -> None:
    def fail(graph: Any) -> None:
        raise RunError("AceStepXLSampler", "ValueError", "no such level")

    async with receiving() as receiver, open_tasks(tmp_path, TinyEngine(tmp_path / "work", act=fail)) as tasks:
        task = inference(webhookURL=f"{receiver.url}/hook", uploadEndpoint=f"{receiver.url}/up")
        await tasks.submit([task])
        await delivered(tasks, task)
        (error,) = receiver.bodies("/hook")
        assert error["status"] == "error" and error["taskUUID"] == task.task_uuid
        assert (error["taskType"], error["code"]) == ("audioInference", "inferenceFailed")
        assert "no such level" in error["message"]
        assert not receiver.bodies("/up"), "no file, no upload"
    async with receiving() as receiver, open_tasks(tmp_path, TinyEngine(tmp_path / "work", seconds=60)) as tasks:
        task = inference(webhookURL=f"{receiver.url}/hook", numberResults=2)
        await tasks.submit([task])
        await tasks.cancel(task.task_uuid)
        await delivered(tasks, task)
        assert [entry["code"] for entry in receiver.bodies("/hook")] == ["taskCancelled"] * 2


@in_loop
async def test_deliveries_survive_a_restart(tmp_path: Path) -> None:
    async with receiving() as receiver:
        receiver.answers["/hook"] = 503
        task = inference(webhookURL=f"{receiver.url}/hook", outputType="base64Data")
        async with open_tasks(tmp_path) as tasks:
            await tasks.submit([task])
            await until(lambda: receiver.calls)
            await tasks.wait(task.task_uuid, 10)
        before = len(receiver.calls)
        receiver.answers["/hook"] = 200
        async with open_tasks(tmp_path, port=1) as tasks:
            (entry,) = await delivered(tasks, task)
        assert len(receiver.calls) == before + 1 == entry["attempts"]
        assert len({call[2] for call in receiver.calls}) == 1
    async with open_tasks(tmp_path) as tasks:
        assert await delivered(tasks, task) == [entry], "not sent again"


@in_loop
async def test_an_upload_precedes_its_webhook_and_uploads_keep_their_order(tmp_path: Path) -> None:
    async with receiving() as receiver, open_tasks(tmp_path) as tasks:
        receiver.answers["/up"] = lambda count: 503 if count == 1 else 200
        task = inference(
            seed=1, numberResults=3, webhookURL=f"{receiver.url}/hook", uploadEndpoint=f"{receiver.url}/up?s=1"
        )
        await tasks.submit([task])
        assert [entry["attempts"] for entry in await delivered(tasks, task)] == [2, 1, 1, 1, 1, 1]
        ups = [call for call in receiver.calls if call[1] == "/up"]
        assert [call[2] for call in ups] == [audio_bytes(1), audio_bytes(1), audio_bytes(2), audio_bytes(3)]
        assert {(call[0], call[3]) for call in ups} == {("PUT", "audio/mpeg")}
        for seed in (1, 2, 3):
            uploaded = max(call[4] for call in ups if call[2] == audio_bytes(seed))
            (called,) = [c[4] for c in receiver.calls if c[1] == "/hook" and json.loads(c[2])["seed"] == seed]
            assert uploaded <= called


@in_loop
async def test_an_upload_that_is_refused_blocks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as receiver, open_tasks(tmp_path) as tasks:
        receiver.answers["/up"] = 403
        task = inference(webhookURL=f"{receiver.url}/hook", uploadEndpoint=f"{receiver.url}/up?signature=hush")
        await tasks.submit([task])
        up, hook = await delivered(tasks, task)
        assert (up["state"], up["attempts"], hook["state"]) == ("failed", 1, "done")
        assert "403" in up["problem"] and "hush" not in json.dumps(up)
        (entry,) = await tasks.overview()
        assert (entry["taskUUID"], entry["status"]) == (task.task_uuid, "success")
        assert entry["deliveries"] == [up], "a finished task with a failed delivery is listed"
        pass_time(monkeypatch, 24 * 3600 + 1)
        assert await tasks.overview() == [], "for a day"
        state = await tasks.state(task.task_uuid)
        assert state is not None and await tasks.file(state.results[0]["audioUUID"]) is not None


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
@in_loop
async def test_an_upload_is_retried_after_a_transient_error(status: int, tmp_path: Path) -> None:
    async with receiving() as receiver, open_tasks(tmp_path) as tasks:
        receiver.answers["/up"] = lambda count: status if count == 1 else 200
        task = inference(uploadEndpoint=f"{receiver.url}/up")
        await tasks.submit([task])
        (up,) = await delivered(tasks, task)
        assert (up["state"], up["attempts"]) == ("done", 2)


@in_loop
async def test_a_delivery_is_given_up_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "FIRST_DELAY", 0.001)
    async with receiving() as receiver, open_tasks(tmp_path, delivery_hours=0) as tasks:
        receiver.answers["/hook"] = 500
        task = inference(webhookURL=f"{receiver.url}/hook")
        await tasks.submit([task])
        (entry,) = await delivered(tasks, task)
        assert (entry["state"], entry["attempts"]) == ("failed", outbox.MIN_ATTEMPTS) and "500" in entry["problem"]
        assert len(receiver.calls) == outbox.MIN_ATTEMPTS
        state = await tasks.state(task.task_uuid)
        assert state is not None and state.status == "success"


@in_loop
async def test_deliveries_are_retried_until_they_are_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(outbox, "MAX_DELAY", 0.001)
    async with receiving() as receiver, open_tasks(tmp_path, delivery_hours=1) as tasks:
        receiver.answers["/hook"] = 500
        task = inference(webhookURL=f"{receiver.url}/hook")
        await tasks.submit([task])
        await until(lambda: len(receiver.calls) > 2 * outbox.MIN_ATTEMPTS)
        pass_time(monkeypatch, 3601)
        (entry,) = await delivered(tasks, task)
        assert entry["state"] == "failed"


@in_loop
async def test_private_addresses_are_refused_unless_allowed(tmp_path: Path) -> None:
    async with receiving() as receiver, open_tasks(tmp_path, allow_private=False) as tasks:
        task = inference(webhookURL=f"{receiver.url}/hook", uploadEndpoint=f"{receiver.url}/up")
        await tasks.submit([task])
        entries = await delivered(tasks, task)
        assert [(e["state"], e["attempts"]) for e in entries] == [("failed", 1)] * 2
        assert all("loopback" in entry["problem"] for entry in entries)
        assert not receiver.calls


@in_loop
async def test_a_receiver_that_never_answers_blocks_no_other(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/", hang)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with receiving() as receiver, open_tasks(tmp_path, webhook_timeout=0.3) as tasks:
            slow = inference(numberResults=2, webhookURL=f"http://127.0.0.1:{runner.addresses[0][1]}/")
            fast = inference(numberResults=4, webhookURL=f"{receiver.url}/hook")
            await tasks.submit([slow, fast])
            assert [entry["state"] for entry in await delivered(tasks, fast)] == ["done"] * 4
            waiting: list[Any] = []
            for _ in range(500):
                waiting = await delivered(tasks, slow, ("waiting",))
                if all(entry["attempts"] for entry in waiting):
                    break
                await asyncio.sleep(0.01)
            assert all("0.3 seconds" in entry["problem"] and entry["next"] for entry in waiting)
    finally:
        release.set()
        await runner.cleanup()


@in_loop
async def test_many_deliveries_at_once(tmp_path: Path) -> None:
    async with receiving() as receiver, open_tasks(tmp_path) as tasks:
        queue = [inference(seed=n, webhookURL=f"{receiver.url}/hook/{n}") for n in range(64)]
        await tasks.submit(queue)
        for task in queue:
            await delivered(tasks, task)
        assert sorted(call[1] for call in receiver.calls) == sorted(f"/hook/{n}" for n in range(len(queue)))


@in_loop
async def test_a_delivery_that_cannot_be_recorded_is_not_sent_over_and_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "MAX_DELAY", 0.3)
    fill_disk(monkeypatch, complete, times=1)
    async with receiving() as receiver, open_tasks(tmp_path) as tasks:
        task = inference(webhookURL=f"{receiver.url}/hook")
        await tasks.submit([task])
        await delivered(tasks, task)
        assert len(receiver.calls) == 2 and receiver.calls[1][4] - receiver.calls[0][4] >= 0.25
        assert receiver.calls[0][2] == receiver.calls[1][2]

"""Webhooks and uploads: one call for each result, the same bytes each time, until it arrives."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from service_tools import NoMedia, TinyEngine, in_loop, inference, receiving, sound, until

from acestep_xl.service.engine.protocol import RunError
from acestep_xl.service.queue import deliveries, outbox
from acestep_xl.service.queue.database import StorageFull, Store
from acestep_xl.service.queue.tasks import Tasks
from acestep_xl.service.schema.task import Task
from acestep_xl.service.settings import ServiceSettings


@asynccontextmanager
async def serving(folder: Path, engine: TinyEngine | None = None, **settings: Any) -> AsyncIterator[Tasks]:
    place = ServiceSettings(**{"demo": True, "allow_private": True, **settings})
    async with Tasks.open(folder, engine or TinyEngine(folder / "work"), place, NoMedia(folder)) as tasks:
        yield tasks


async def sent(tasks: Tasks, task: Task, states: tuple[str, ...] = ("done", "failed")) -> list[dict[str, Any]]:
    """A task's deliveries, when all of them ended."""
    details: Any = None
    for _ in range(1000):
        details = await tasks.details(task.task_uuid)
        assert details is not None
        found = [entry for result in details["results"] for entry in result.get("deliveries", [])]
        if details["status"] != "processing" and all(entry["state"] in states for entry in found):
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(details)


@in_loop
async def test_each_result_is_told_once_as_getresponse_tells_it(tmp_path: Path) -> None:
    async with receiving() as there, serving(tmp_path) as tasks:
        task = inference(numberResults=3, webhookURL=f"{there.url}/hook?token=abc", includeCost=True)
        await tasks.submit([task])
        await sent(tasks, task)
        state = await tasks.state(task.task_uuid)
        assert state is not None
        told = {entry["audioUUID"]: entry for entry in there.bodies("/hook")}
        assert len(there.calls) == 3 and list(state.results) == [told[r["audioUUID"]] for r in state.results]
        assert {(call[0], call[3]) for call in there.calls} == {("POST", "application/json")}


@in_loop
async def test_a_call_is_repeated_byte_for_byte_until_it_arrives(tmp_path: Path) -> None:
    async with receiving() as there, serving(tmp_path) as tasks:
        statuses = {1: 500, 2: 404, 3: 302, 4: 204}
        there.answers["/hook"] = lambda count: statuses[count]
        task = inference(webhookURL=f"{there.url}/hook", positivePrompt="Ünï – 音楽")
        await tasks.submit([task])
        (entry,) = await sent(tasks, task)
        assert (entry["state"], entry["attempts"]) == ("done", 4) and "problem" not in entry
        assert len(there.calls) == 4 and len({call[2] for call in there.calls}) == 1
        gaps = [b[4] - a[4] for a, b in zip(there.calls, there.calls[1:], strict=False)]
        assert all(gap >= 0.75 * 0.25 * 2**n for n, gap in enumerate(gaps)), gaps


def test_the_pace_is_the_hosted_services() -> None:
    for attempts in range(40):
        longest = min(0.25 * 2**attempts, 8.0)
        drawn = [outbox.delay(attempts) for _ in range(200)]
        assert all(0.75 * longest <= delay <= longest for delay in drawn)
        assert len(set(drawn)) > 100, "spread, so that calls do not come in bursts"


@pytest.mark.parametrize("kind", ["base64Data", "dataURI"])
@in_loop
async def test_sound_goes_along_where_the_answer_holds_it(kind: str, tmp_path: Path) -> None:
    async with receiving() as there, serving(tmp_path) as tasks:
        there.answers["/hook"] = lambda count: 200 if count > 1 else 500
        task = inference(seed=9, outputType=kind, webhookURL=f"{there.url}/hook")
        await tasks.submit([task])
        await sent(tasks, task)
        state = await tasks.state(task.task_uuid)
        assert state is not None and there.bodies("/hook") == list(state.results) * 2
        key = "audioBase64Data" if kind == "base64Data" else "audioDataURI"
        assert base64.b64decode(state.results[0][key].rpartition(",")[2]) == sound(9)


@in_loop
async def test_a_failure_and_a_cancelled_task_are_told_too(tmp_path: Path) -> None:
    def fail(graph: Any) -> None:
        raise RunError("AceStepXLSampler", "ValueError", "no such level")

    async with receiving() as there, serving(tmp_path, TinyEngine(tmp_path / "work", act=fail)) as tasks:
        task = inference(webhookURL=f"{there.url}/hook", uploadEndpoint=f"{there.url}/up")
        await tasks.submit([task])
        await sent(tasks, task)
        (told,) = there.bodies("/hook")
        assert told["status"] == "error" and told["taskUUID"] == task.task_uuid
        assert (told["taskType"], told["code"]) == ("audioInference", "inferenceFailed")
        assert "no such level" in told["message"]
        assert not there.bodies("/up"), "there is nothing to upload"
    async with receiving() as there, serving(tmp_path, TinyEngine(tmp_path / "work", seconds=60)) as tasks:
        task = inference(webhookURL=f"{there.url}/hook", numberResults=2)
        await tasks.submit([task])
        await tasks.cancel(task.task_uuid)
        await sent(tasks, task)
        assert [entry["code"] for entry in there.bodies("/hook")] == ["taskCancelled"] * 2


@in_loop
async def test_deliveries_survive_a_restart(tmp_path: Path) -> None:
    async with receiving() as there:
        there.answers["/hook"] = 503
        task = inference(webhookURL=f"{there.url}/hook", outputType="base64Data")
        async with serving(tmp_path) as tasks:
            await tasks.submit([task])
            await until(lambda: there.calls)
            await tasks.wait(task.task_uuid, 10)
        before = len(there.calls)
        there.answers["/hook"] = 200
        async with serving(tmp_path, port=1) as tasks:
            (entry,) = await sent(tasks, task)
        assert len(there.calls) == before + 1 == entry["attempts"]
        assert len({call[2] for call in there.calls}) == 1
    async with serving(tmp_path) as tasks:
        assert await sent(tasks, task) == [entry], "what has arrived is not sent again"


@in_loop
async def test_an_upload_comes_before_its_webhook_and_uploads_keep_their_order(tmp_path: Path) -> None:
    async with receiving() as there, serving(tmp_path) as tasks:
        there.answers["/up"] = lambda count: 503 if count == 1 else 200
        task = inference(seed=1, numberResults=3, webhookURL=f"{there.url}/hook", uploadEndpoint=f"{there.url}/up?s=1")
        await tasks.submit([task])
        assert [entry["attempts"] for entry in await sent(tasks, task)] == [2, 1, 1, 1, 1, 1]
        ups = [call for call in there.calls if call[1] == "/up"]
        assert [call[2] for call in ups] == [sound(1), sound(1), sound(2), sound(3)], (
            "the last one stays at the address"
        )
        assert {(call[0], call[3]) for call in ups} == {("PUT", "audio/mpeg")}
        for seed in (1, 2, 3):
            arrived = max(call[4] for call in ups if call[2] == sound(seed))
            (told,) = [call[4] for call in there.calls if call[1] == "/hook" and json.loads(call[2])["seed"] == seed]
            assert arrived <= told


@in_loop
async def test_an_upload_that_is_refused_for_good_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as there, serving(tmp_path) as tasks:
        there.answers["/up"] = 403
        task = inference(webhookURL=f"{there.url}/hook", uploadEndpoint=f"{there.url}/up?signature=hush")
        await tasks.submit([task])
        up, hook = await sent(tasks, task)
        assert (up["state"], up["attempts"], hook["state"]) == ("failed", 1, "done")
        assert "403" in up["problem"] and "hush" not in json.dumps(up)
        (entry,) = await tasks.overview()
        assert (entry["taskUUID"], entry["status"]) == (task.task_uuid, "success")
        assert entry["deliveries"] == [up], "the result is there, and so is what went wrong"
        later = time.time() + 24 * 3600 + 1
        monkeypatch.setattr(time, "time", lambda: later)
        assert await tasks.overview() == [], "but not for ever"
        state = await tasks.state(task.task_uuid)
        assert state is not None and await tasks.file(state.results[0]["audioUUID"]) is not None


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
@in_loop
async def test_an_upload_that_may_succeed_later_is_tried_again(status: int, tmp_path: Path) -> None:
    async with receiving() as there, serving(tmp_path) as tasks:
        there.answers["/up"] = lambda count: status if count == 1 else 200
        task = inference(uploadEndpoint=f"{there.url}/up")
        await tasks.submit([task])
        (up,) = await sent(tasks, task)
        assert (up["state"], up["attempts"]) == ("done", 2)


@in_loop
async def test_it_is_given_up_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "FIRST_DELAY", 0.001)
    async with receiving() as there, serving(tmp_path, delivery_hours=0) as tasks:
        there.answers["/hook"] = 500
        task = inference(webhookURL=f"{there.url}/hook")
        await tasks.submit([task])
        (entry,) = await sent(tasks, task)
        assert (entry["state"], entry["attempts"]) == ("failed", outbox.FEWEST_ATTEMPTS) and "500" in entry["problem"]
        assert len(there.calls) == outbox.FEWEST_ATTEMPTS
        state = await tasks.state(task.task_uuid)
        assert state is not None and state.status == "success"


@in_loop
async def test_age_counts_not_attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "FIRST_DELAY", 0.001)
    monkeypatch.setattr(outbox, "LONGEST_DELAY", 0.001)
    async with receiving() as there, serving(tmp_path, delivery_hours=1) as tasks:
        there.answers["/hook"] = 500
        task = inference(webhookURL=f"{there.url}/hook")
        await tasks.submit([task])
        await until(lambda: len(there.calls) > 2 * outbox.FEWEST_ATTEMPTS)
        later = time.time() + 3601
        monkeypatch.setattr(time, "time", lambda: later)
        (entry,) = await sent(tasks, task)
        assert entry["state"] == "failed"


@in_loop
async def test_private_addresses_are_refused_unless_allowed(tmp_path: Path) -> None:
    async with receiving() as there, serving(tmp_path, allow_private=False) as tasks:
        task = inference(webhookURL=f"{there.url}/hook", uploadEndpoint=f"{there.url}/up")
        await tasks.submit([task])
        entries = await sent(tasks, task)
        assert [(e["state"], e["attempts"]) for e in entries] == [("failed", 1)] * 2
        assert all("loopback" in entry["problem"] for entry in entries)
        assert not there.calls


@in_loop
async def test_a_receiver_that_never_answers_holds_up_no_other(tmp_path: Path) -> None:
    over = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        await over.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/", hang)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with receiving() as there, serving(tmp_path, webhook_timeout=0.3) as tasks:
            slow = inference(numberResults=2, webhookURL=f"http://127.0.0.1:{runner.addresses[0][1]}/")
            swift = inference(numberResults=4, webhookURL=f"{there.url}/hook")
            await tasks.submit([slow, swift])
            assert [entry["state"] for entry in await sent(tasks, swift)] == ["done"] * 4
            waiting: list[Any] = []
            for _ in range(500):
                waiting = await sent(tasks, slow, ("waiting",))
                if all(entry["attempts"] for entry in waiting):
                    break
                await asyncio.sleep(0.01)
            assert all("0.3 seconds" in entry["problem"] and entry["next"] for entry in waiting)
    finally:
        over.set()
        await runner.cleanup()


@in_loop
async def test_many_at_once(tmp_path: Path) -> None:
    async with receiving() as there, serving(tmp_path) as tasks:
        queue = [inference(seed=n, webhookURL=f"{there.url}/hook/{n}") for n in range(4 * outbox.AT_ONCE)]
        await tasks.submit(queue)
        for task in queue:
            await sent(tasks, task)
        assert sorted(call[1] for call in there.calls) == sorted(f"/hook/{n}" for n in range(len(queue)))


@in_loop
async def test_what_cannot_be_written_down_is_not_sent_over_and_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LONGEST_DELAY", 0.3)
    whole, full = Store.call, []

    async def call(self: Store, work: Any, *args: Any) -> Any:
        if work is deliveries.delivered and not full:
            full.append(time.monotonic())
            raise StorageFull("no room")
        return await whole(self, work, *args)

    monkeypatch.setattr(Store, "call", call)
    async with receiving() as there, serving(tmp_path) as tasks:
        task = inference(webhookURL=f"{there.url}/hook")
        await tasks.submit([task])
        await sent(tasks, task)
        assert len(there.calls) == 2 and there.calls[1][4] - there.calls[0][4] >= 0.25
        assert there.calls[0][2] == there.calls[1][2]

"""Receivers that hang, names that nobody resolves and clocks that jump hold up no other delivery and no answer."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from service_tools import FakeRecordings, in_loop, inference, receiving, until
from task_queue import finished, open_tasks

from acestep_xl.service.queue.delivery import outbox
from acestep_xl.transfer import lookup
from acestep_xl.transfer.lookup import Lookups

SECONDS = 120.0  # time limit of a transfer: none of those that hang ends within a test


@asynccontextmanager
async def hanging(count: int) -> AsyncIterator[list[str]]:
    """The URLs of so many receivers that accept connections and never answer."""
    opened: list[asyncio.StreamWriter] = []

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)

    async with AsyncExitStack() as stack:
        urls = []
        for _ in range(count):
            server = await asyncio.start_server(accept, "127.0.0.1", 0)
            stack.callback(server.close)
            urls.append(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/never")
        try:
            yield urls
        finally:
            for writer in opened:
                writer.close()


@in_loop
async def test_hanging_receivers_delay_no_other_webhook(tmp_path: Path) -> None:
    async with (
        receiving() as receiver,
        hanging(40) as urls,
        open_tasks(tmp_path, webhook_timeout=60.0) as tasks,
    ):
        for task in (bad := [inference(webhookURL=url) for url in urls]):
            await tasks.submit([task])
        await finished(tasks, bad[-1])
        good = inference(webhookURL=f"{receiver.url}/hook")
        await tasks.submit([good])
        await until(lambda: receiver.calls, 30)


@in_loop
async def test_hanging_uploads_delay_no_webhook_and_no_other_upload(tmp_path: Path) -> None:
    async with receiving() as receiver, hanging(24) as urls, open_tasks(tmp_path, upload_timeout=SECONDS) as tasks:
        for task in (bad := [inference(uploadEndpoint=url) for url in urls]):
            await tasks.submit([task])
        await finished(tasks, bad[-1])
        good = inference(webhookURL=f"{receiver.url}/hook", uploadEndpoint=f"{receiver.url}/up")
        await tasks.submit([good])
        await until(lambda: len(receiver.calls) == 2, 30)


@in_loop
async def test_one_hanging_receiver_with_many_webhooks_leaves_room(tmp_path: Path) -> None:
    async with receiving() as receiver, hanging(1) as urls, open_tasks(tmp_path, webhook_timeout=60.0) as tasks:
        bad = [inference(webhookURL=urls[0], numberResults=4) for _ in range(outbox.WEBHOOKS // 4 + 4)]
        assert await tasks.submit(bad) == [None] * len(bad)
        await finished(tasks, bad[-1])
        await tasks.submit([inference(webhookURL=f"{receiver.url}/hook")])
        await until(lambda: receiver.calls, 30)


@in_loop
async def test_silent_names_delay_neither_answers_nor_webhooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def resolve(host: str) -> list[str]:
        released.wait(60)
        return []

    monkeypatch.setattr(lookup, "SYSTEM", Lookups(resolve))
    try:
        async with receiving() as receiver, open_tasks(tmp_path, webhook_timeout=60.0) as tasks:
            bad = [inference(webhookURL=f"http://silent{n}.example/hook") for n in range(40)]
            assert await tasks.submit(bad) == [None] * len(bad)
            for task in bad:
                assert (await finished(tasks, task)).status == "success", "states need none of the stuck threads"
            await tasks.submit([inference(webhookURL=f"{receiver.url}/hook")])
            await until(lambda: receiver.calls, 30)
    finally:
        released.set()


@in_loop
async def test_hanging_sources_delay_no_other_source(tmp_path: Path) -> None:
    class Recordings(FakeRecordings):
        async def fetch(self, url: str) -> Path:
            if "hanging" in url:
                await asyncio.sleep(SECONDS)
            return await super().fetch(url)

    recordings = Recordings(tmp_path)
    recordings.files["http://good.example/a.wav"] = b"RIFF"
    async with open_tasks(tmp_path, recordings=recordings) as tasks:
        bad = [inference(inputs={"audio": f"http://hanging.example/{n}.wav"}) for n in range(20)]
        good = inference(inputs={"audio": "http://good.example/a.wav"})
        assert await tasks.submit([*bad, good]) == [None] * 21
        assert (await finished(tasks, good)).status == "success"


@in_loop
async def test_a_webhook_postponed_while_the_clock_was_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a day, which it would wait once the clock is right again."""
    clock, ahead = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: clock() + ahead[0])
    async with receiving() as receiver, open_tasks(tmp_path) as tasks:

        def answer(count: int) -> int:
            return 200 if count > 1 else 500

        receiver.answers["/hook"] = answer
        ahead[0] = 86400.0
        await tasks.submit([inference(webhookURL=f"{receiver.url}/hook")])
        await until(lambda: receiver.calls)
        ahead[0] = 0.0
        await until(lambda: len(receiver.calls) == 2, 30)


@pytest.mark.parametrize("seconds", [-86400.0, 86400.0])
@in_loop
async def test_a_clock_that_jumps_delays_no_webhook(
    seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, jump = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: clock() + jump[0])
    async with receiving() as receiver, open_tasks(tmp_path) as tasks:
        receiver.answers["/hook"] = lambda count: 200 if count > 3 else 500
        await tasks.submit([inference(webhookURL=f"{receiver.url}/hook")])
        await until(lambda: receiver.calls)
        jump[0] = seconds
        await until(lambda: len(receiver.calls) == 4, 30)

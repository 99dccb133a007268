"""The hosted service's Python client with songs that take longer than it waits between two polls.

It adds up what it is sent without comparing, drops what comes between two polls, and after a broken connection forgets
what it had. Its times are shortened; the songs are made by an engine that only waits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from local_service import serving
from service_tools import MODEL, TinyEngine, in_loop

from acestep_xl.service.http import sessions
from acestep_xl.service.http.context import CONTEXT

runware = pytest.importorskip("runware", reason="the client `runware` is not installed")
WAIT, PAUSE = 2.0, 0.3  # seconds: the client waits for the answer to a poll, then pauses; 30 and 3 in earnest


@pytest.fixture
def short_times(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    from runware import base

    monkeypatch.setattr(base, "VIDEO_INITIAL_TIMEOUT", int(1000 * WAIT))
    for name in ("VIDEO_POLLING_DELAY", "AUDIO_POLLING_DELAY"):
        monkeypatch.setattr(base, name, int(1000 * PAUSE))
    yield


def song(**values: Any) -> Any:
    return runware.IAudioInference(model=MODEL, positivePrompt="slow waltz", seed=1, **values)


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    client = runware.Runware(api_key="any", url=url)
    await client.connect()
    try:
        yield client
    finally:
        await client.disconnect()


# With the server's own times this client seems eager; with times in proportion, as one that waits.
@pytest.mark.slow
@pytest.mark.parametrize("in_proportion", [True, False])
@pytest.mark.parametrize("seconds", [0.5, 1.3, 2.7])
def test_an_async_task_with_three_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_times: None, seconds: float, in_proportion: bool
) -> None:
    if in_proportion:
        monkeypatch.setattr(sessions, "PUSH_SECONDS", WAIT * 20 / 30)
        monkeypatch.setattr(sessions, "EAGER_SECONDS", WAIT * 25 / 30)

    @in_loop
    async def run() -> None:
        engine = TinyEngine(tmp_path / "work", seconds=seconds)
        async with serving(tmp_path, engine) as local, connected(local.socket_url) as client:
            task = await client.audioInference(song(deliveryMethod="async", numberResults=3))
            results = await asyncio.wait_for(client.getResponse(task.taskUUID, numberResults=3), 120)
            assert sorted(one.seed for one in results) == [1, 2, 3]
            assert len({one.audioUUID for one in results}) == 3

    run()


@pytest.mark.slow
@in_loop
async def test_a_sync_task_with_four_results_through_a_restart(tmp_path: Path, short_times: None) -> None:
    async with contextlib.AsyncExitStack() as second:
        async with serving(tmp_path, TinyEngine(tmp_path / "work", seconds=1.0)) as local:
            client = await second.enter_async_context(connected(local.socket_url))
            request = song(numberResults=4)
            waiting = asyncio.ensure_future(client.audioInference(request))
            tasks = await local.runner.app[CONTEXT].tasks()
            while True:
                state = await tasks.state(request.taskUUID) if request.taskUUID else None
                if state is not None and sum("audioUUID" in entry for entry in state.results) == 2:
                    break
                await asyncio.sleep(0.02)
            port = int(local.url.rpartition(":")[2])
        engine = TinyEngine(tmp_path / "work", seconds=1.25 * WAIT)
        await second.enter_async_context(serving(tmp_path, engine, port=port))
        results = await asyncio.wait_for(waiting, 120)
        assert sorted(one.seed for one in results) == [1, 2, 3, 4]
        assert len({one.audioUUID for one in results}) == 4

"""Each result reaches a session once, by a push or with a poll: the client adds up what it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from local_service import Gate, Local, serving
from service_socket import Socket, poll, socket
from service_tools import TinyEngine, body, in_loop

from acestep_xl.runner.graph import Graph
from acestep_xl.service.http import sessions
from acestep_xl.service.http.context import CONTEXT
from acestep_xl.service.http.sessions import PendingResults
from acestep_xl.service.schema.errors import ApiError


async def finished(local: Local, task: dict[str, Any], count: int) -> None:
    """Wait until so many results of a task are finished."""
    tasks = await local.runner.app[CONTEXT].tasks()
    while True:
        state = await tasks.state(task["taskUUID"])
        assert state is not None
        if len([entry for entry in state.results if entry["status"] == "success"]) >= count:
            return
        await asyncio.sleep(0.01)


@asynccontextmanager
async def gated(tmp_path: Path, count: int) -> AsyncIterator[tuple[Gate, Local, Socket, dict[str, Any]]]:
    """A server whose songs wait at a gate, a client, and its accepted task of so many songs."""
    gate = Gate()
    async with serving(tmp_path, TinyEngine(tmp_path / "work", act=gate)) as local, socket(local) as client:
        task = body(deliveryMethod="async", numberResults=count, seed=1)
        await client.ask(task)
        yield gate, local, client, task


def seeds(answer: dict[str, Any]) -> list[int]:
    return [entry["seed"] for entry in answer["data"] if "seed" in entry]


async def polled(client: Socket, task: dict[str, Any]) -> list[int]:
    return seeds(await client.ask(poll(task)))


@in_loop
async def test_what_was_pushed_is_not_repeated_by_the_next_poll(tmp_path: Path) -> None:
    async with gated(tmp_path, 3) as (gate, local, client, task):
        assert await polled(client, task) == []
        gate.release()
        assert seeds(await client.receive()) == [1], "pushed, as the client waits"
        answer = await client.ask(poll(task))
        assert [entry["status"] for entry in answer["data"]] == ["processing", "processing"]
        gate.release()
        await finished(local, task, 2)
        assert await client.is_silent(), "a client that polls that often gets results with its polls"
        assert await polled(client, task) == [2]
        gate.release()
        await finished(local, task, 3)
        assert await polled(client, task) == [3]
        assert await polled(client, task) == [1, 2, 3], "once it has everything, a poll starts afresh"
        assert await client.is_silent()


@in_loop
async def test_what_a_poll_returned_is_not_pushed(tmp_path: Path) -> None:
    async with gated(tmp_path, 2) as (gate, local, client, task):
        gate.release()
        await finished(local, task, 1)
        assert await polled(client, task) == [1]
        gate.release()
        assert seeds(await client.receive()) == [2] and await client.is_silent()


@in_loop
async def test_results_are_pushed_only_while_the_client_waits_for_its_poll(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "PUSH_SECONDS", 0.2)
    async with gated(tmp_path, 2) as (gate, local, client, task):
        await client.ask(poll(task))
        await asyncio.sleep(0.3)
        gate.release(2)
        await finished(local, task, 2)
        assert await client.is_silent()
        assert await polled(client, task) == [1, 2]


@in_loop
async def test_other_sessions_and_http_get_everything(tmp_path: Path) -> None:
    async with serving(tmp_path) as local, socket(local) as client, socket(local) as other:
        task = body(seed=1, numberResults=2)
        await client.send(task)
        assert [seeds(await client.receive()) for _ in range(2)] == [[1], [2]]
        assert await polled(other, task) == [1, 2]
        assert seeds((await local.send(poll(task)))[1]) == [1, 2]


@in_loop
async def test_a_client_that_lost_its_results_gets_them_again(tmp_path: Path) -> None:
    """After a broken connection the client drops what it has, sends its task again, and polls."""
    gate = Gate()
    async with serving(tmp_path, TinyEngine(tmp_path / "work", act=gate)) as local:
        task = body(seed=1, numberResults=3)
        async with socket(local) as client:
            session_uuid = await client.login()
            await client.send(task)
            gate.release(2)
            assert [seeds(await client.receive()) for _ in range(2)] == [[1], [2]]
        async with socket(local) as client:
            assert await client.login(connectionSessionUUID=session_uuid) == session_uuid
            assert (await client.ask(task))["errors"][0]["code"] == "conflictTaskUUID"
            assert await polled(client, task) == [1, 2]
            gate.release()
            assert seeds(await client.receive()) == [3]


@in_loop
async def test_each_failure_is_sent_once_whatever_their_order(tmp_path: Path) -> None:
    failing = {1, 3}

    def act(graph: Graph) -> None:
        if any(call.inputs.get("seed") in failing for call in graph.values()):
            raise RuntimeError("no")

    async with serving(tmp_path, TinyEngine(tmp_path / "work", act=act)) as local, socket(local) as client:
        task = body(seed=1, numberResults=3)
        await client.send(task)
        answers = [await client.receive() for _ in range(3)]
        assert sorted("data" in answer for answer in answers) == [False, False, True]
        assert await client.is_silent()


def test_a_result_that_expires_after_its_delivery_is_no_error() -> None:
    pending = PendingResults(None)
    song = {"audioUUID": "first", "status": "success"}
    results, _ = pending.select([song], [])
    pending.delivered |= results.keys()
    expired = ApiError("resultExpired", "gone")
    assert pending.select([], [expired]) == ({}, {})
    assert list(pending.select([], [expired, expired])[1].values()) == [expired]

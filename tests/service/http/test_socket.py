"""Tasks over a WebSocket: keys, pings, pushed results, and sessions that survive a broken connection."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType
from local_service import Gate, new_uuid, serving
from service_socket import KEY, Socket, poll, socket
from service_tools import TinyEngine, body, in_loop, until

from acestep_xl.runner.graph import Graph
from acestep_xl.service.http import connection as connection_module
from acestep_xl.service.http import sessions as session_module
from acestep_xl.service.http.context import CONTEXT
from acestep_xl.service.http.sessions import SESSIONS

PING = {"taskType": "ping", "ping": True}
PONG = {"data": [{"taskType": "ping", "pong": True}]}


@in_loop
async def test_a_key_opens_a_session(tmp_path: Path) -> None:
    async with serving(tmp_path, api_keys=(KEY,)) as local, socket(local) as client:
        task = body()
        refused = (await client.ask(task))["errors"]
        assert [(e["code"], e["taskUUID"]) for e in refused] == [("missingApiKey", task["taskUUID"])]
        refused = (await client.ask({"taskType": "authentication", "apiKey": "wrong"}))["errors"]
        assert [(e["code"], e["taskType"]) for e in refused] == [("invalidApiKey", "authentication")]
        first = await client.login()
        assert (await client.ask(task))["data"][0]["taskUUID"] == task["taskUUID"]
        async with socket(local) as other:
            assert await other.login() != first


@in_loop
async def test_the_number_of_wrong_keys_is_limited(tmp_path: Path) -> None:
    async with serving(tmp_path, api_keys=(KEY,)) as local, socket(local) as client:
        for guess in range(5):
            answer = await client.ask({"taskType": "authentication", "apiKey": f"guess {guess}"})
            assert answer["errors"][0]["code"] == "invalidApiKey"
        message = await client.raw.receive(60)
        assert message.type == WSMsgType.CLOSE and message.data == 1008


@in_loop
async def test_one_connection_has_one_session(tmp_path: Path) -> None:
    async with serving(tmp_path, api_keys=(KEY,)) as local, socket(local) as client:
        assert len({await client.login() for _ in range(5)}) == 1
        assert len(local.runner.app[SESSIONS]._sessions) == 1


@in_loop
async def test_no_authentication_is_needed_with_a_key_in_the_header_or_without_keys(tmp_path: Path) -> None:
    async with serving(tmp_path, api_keys=(KEY,)) as local:
        headers = {"Authorization": f"Bearer {KEY}"}
        async with local.client.ws_connect(local.url + "/", headers=headers) as raw:
            assert "data" in await Socket(raw).ask(body())
    async with serving(tmp_path / "open") as local, socket(local) as client:
        assert "data" in await client.ask(body())
        assert await client.login(), "a client that sends a key is served too"


@in_loop
async def test_authentication_and_a_task_in_one_message(tmp_path: Path) -> None:
    async with serving(tmp_path, api_keys=(KEY,)) as local, socket(local) as client:
        task = body()
        assert (
            "connectionSessionUUID"
            in (await client.ask({"taskType": "authentication", "apiKey": KEY}, task))["data"][0]
        )
        assert (await client.receive())["data"][0]["taskUUID"] == task["taskUUID"]


@in_loop
async def test_each_result_is_pushed_when_it_is_finished(tmp_path: Path) -> None:
    gate = Gate()
    async with serving(tmp_path, TinyEngine(tmp_path / "work", act=gate)) as local, socket(local) as client:
        task = body(numberResults=3, seed=7)
        await client.send(task)
        for seed in (7, 8, 9):
            assert await client.is_silent()
            gate.release()
            (entry,) = (await client.receive())["data"]
            assert entry["seed"] == seed and "status" not in entry
        assert await client.is_silent()


@in_loop
async def test_pings_are_answered_while_a_task_runs(tmp_path: Path) -> None:
    gate = Gate()
    async with serving(tmp_path, TinyEngine(tmp_path / "work", act=gate)) as local, socket(local) as client:
        await client.send(body())
        assert await client.ask(PING) == PONG
        assert await client.ask(PING, PING) == PONG and await client.receive() == PONG
        gate.release()
        assert "audioURL" in (await client.receive())["data"][0]


@in_loop
async def test_an_async_task_is_acknowledged_and_later_results_follow_a_poll(tmp_path: Path) -> None:
    """The client polls once and then waits for the remaining results."""
    gate = Gate()
    async with serving(tmp_path, TinyEngine(tmp_path / "work", act=gate)) as local, socket(local) as client:
        task = body(deliveryMethod="async", numberResults=3, seed=1)
        assert await client.ask(task) == {"data": [{"taskType": "audioInference", "taskUUID": task["taskUUID"]}]}
        gate.release()
        tasks = await local.runner.app[CONTEXT].tasks()
        while (await tasks.state(task["taskUUID"])).results[0]["status"] != "success":  # type: ignore[union-attr]  # it exists
            await asyncio.sleep(0.01)
        assert await client.is_silent(), "nothing is pushed before a poll"
        answer = await client.ask(poll(task))
        assert [entry["status"] for entry in answer["data"]] == ["success", "processing", "processing"]
        gate.release(2)
        pushed = [(await client.receive())["data"] for _ in range(2)]
        assert [[(entry["seed"], entry["status"]) for entry in data] for data in pushed] == [
            [(2, "success")],
            [(3, "success")],
        ]
        answer = await client.ask(poll(task))
        assert [entry["seed"] for entry in answer["data"]] == [1, 2, 3]
        assert await client.is_silent(), "no result is sent twice"


@in_loop
async def test_errors_of_a_run_are_pushed(tmp_path: Path) -> None:
    def fail(graph: Graph) -> None:
        raise RuntimeError("no")

    async with serving(tmp_path, TinyEngine(tmp_path / "work", act=fail)) as local, socket(local) as client:
        task = body(numberResults=2)
        await client.send(task)
        for _ in range(2):
            answer = await client.receive()
            assert "data" not in answer and [error["taskUUID"] for error in answer["errors"]] == [task["taskUUID"]]
        assert await client.is_silent()


@in_loop
async def test_invalid_and_valid_tasks_in_one_message(tmp_path: Path) -> None:
    async with serving(tmp_path) as local, socket(local) as client:
        valid, invalid = body(), body(steps=0)
        await client.send(invalid, valid)
        answers = [await client.receive(), await client.receive()]
        assert answers[0]["errors"][0]["taskUUID"] == invalid["taskUUID"]
        assert answers[1]["data"][0]["taskUUID"] == valid["taskUUID"]


@in_loop
async def test_a_resumed_session_gets_its_pending_results(tmp_path: Path) -> None:
    gate = Gate()
    async with serving(tmp_path, TinyEngine(tmp_path / "work", act=gate), api_keys=(KEY,)) as local:
        task = body(numberResults=3, seed=1)
        async with socket(local) as client:
            session_uuid = await client.login()
            await client.send(task)
            gate.release()
            assert (await client.receive())["data"][0]["seed"] == 1
        gate.release()
        tasks = await local.runner.app[CONTEXT].tasks()
        while (await tasks.state(task["taskUUID"])).results[1]["status"] != "success":  # type: ignore[union-attr]  # it exists
            await asyncio.sleep(0.01)
        async with socket(local) as stranger:
            assert await stranger.login() != session_uuid
            assert await stranger.is_silent()
        async with socket(local) as client:
            assert await client.login(connectionSessionUUID=session_uuid) == session_uuid
            assert (await client.receive())["data"][0]["seed"] == 2, "what was finished meanwhile"
            gate.release()
            assert (await client.receive())["data"][0]["seed"] == 3
            assert await client.is_silent()
        async with socket(local) as client:
            assert await client.login(connectionSessionUUID=new_uuid()) != session_uuid


@in_loop
async def test_a_disconnected_session_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "RESUME_SECONDS", 1.0)
    gate = Gate()
    async with serving(tmp_path, TinyEngine(tmp_path / "work", act=gate)) as local:
        sessions = local.runner.app[SESSIONS]
        async with socket(local) as client:
            await client.login()
            await client.send(body())
            await until(lambda: any(one.pending for one in sessions._sessions.values()))
        await until(lambda: not sessions._connections)
        assert sessions._sessions
        await until(lambda: not sessions._sessions)
        async with socket(local) as client:
            await client.login()
        await until(lambda: not sessions._sessions)
        gate.release()


@in_loop
async def test_a_second_connection_takes_over_the_session(tmp_path: Path) -> None:
    gate = Gate()
    engine = TinyEngine(tmp_path / "work", act=gate)
    async with serving(tmp_path, engine) as local, socket(local) as old, socket(local) as new:
        session_uuid = await old.login()
        await old.send(body())
        assert await new.login(connectionSessionUUID=session_uuid) == session_uuid
        await asyncio.sleep(0.1)
        gate.release()
        assert "data" in await new.receive()
        assert await old.is_silent()


@in_loop
async def test_messages_that_are_not_requests(tmp_path: Path) -> None:
    async with serving(tmp_path) as local, socket(local) as client:
        for text in ("", "{", "{}", "[]", "NaN", "[" * 100_000):
            await client.raw.send_str(text)
            assert [error["code"] for error in (await client.receive())["errors"]] == ["invalidRequest"]
        await client.raw.send_bytes(b"[]")
        assert "binary" in (await client.receive())["errors"][0]["message"]
        assert await client.ask(PING) == PONG


@in_loop
async def test_a_message_beyond_the_limit_closes_the_connection(tmp_path: Path) -> None:
    async with serving(tmp_path, media_mib=1) as local, socket(local) as client:
        await client.raw.send_str(" " * (local.runner.app[CONTEXT].settings.max_body_bytes + 1))
        message = await client.raw.receive(60)
        assert message.type == WSMsgType.CLOSE and message.data == 1009


@in_loop
async def test_an_unauthenticated_connection_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "LOGIN_SECONDS", 2.0)
    async with serving(tmp_path, api_keys=(KEY,)) as local, socket(local) as client, socket(local) as other:
        await other.login()
        message = await client.raw.receive(60)
        assert message.type == WSMsgType.CLOSE and message.data == 1008
        assert await other.is_silent(0.3)


@in_loop
async def test_connections_and_concurrent_messages_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "MAX_CONCURRENT", 1)
    async with serving(tmp_path, max_websockets=1) as local:
        async with socket(local) as client:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await local.client.ws_connect(local.socket_url)
            assert refused.value.status == 429
            released = asyncio.Event()

            async def wait(*_: Any) -> Any:
                await released.wait()

            monkeypatch.setattr(local.runner.app[CONTEXT]._tasks, "state", wait)
            await client.send(poll(body()))
            assert (await client.ask(poll(body())))["errors"][0]["code"] == "tooManyRequests"
            assert await client.ask(PING) == PONG
            released.set()
            assert (await client.receive())["errors"][0]["code"] == "taskNotFound"
        await until(lambda: not local.runner.app[SESSIONS].full)
        async with socket(local) as client:
            assert await client.ask(PING) == PONG


@in_loop
async def test_a_message_that_fails_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path) as local, socket(local) as client:

        def broken(*_: object) -> None:
            raise RuntimeError("the internals")

        monkeypatch.setattr(local.runner.app[CONTEXT]._tasks, "details", broken)
        task, later = body(), body()
        details = {"taskType": "getTaskDetails", "taskUUID": task["taskUUID"]}
        (error,) = (await client.ask(details, later))["errors"]
        assert (error["code"], error["taskUUID"]) == ("internalError", task["taskUUID"])
        assert "internals" not in json.dumps(error)
        assert (await client.receive())["data"][0]["taskUUID"] == later["taskUUID"], "the others go on"


@in_loop
async def test_a_stopping_server_asks_its_clients_to_reconnect(tmp_path: Path) -> None:
    async with serving(tmp_path) as local, socket(local) as client:
        assert await client.ask(PING) == PONG
        stopping = asyncio.create_task(local.runner.app.shutdown())
        message = await client.raw.receive(60)
        assert message.type == WSMsgType.CLOSE and message.data == 1012, "clients do not reconnect after 1000 or 1001"
        await stopping

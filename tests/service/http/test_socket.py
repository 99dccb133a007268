"""Tasks over a WebSocket: keys, pings, results pushed as they come, sessions that outlive a broken connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType
from local_service import Gate, Local, new_uuid, serving
from service_tools import TinyEngine, body, in_loop, until

from acestep_xl.runner.graph import Graph
from acestep_xl.service.http import connection as connection_module
from acestep_xl.service.http import sessions as session_module
from acestep_xl.service.http.context import CONTEXT
from acestep_xl.service.http.sessions import SESSIONS

KEY = "a-key-of-some-length"
PING = {"taskType": "ping", "ping": True}
PONG = {"data": [{"taskType": "ping", "pong": True}]}


class Socket:
    """A client's end."""

    def __init__(self, raw: aiohttp.ClientWebSocketResponse[bool]) -> None:
        self.raw = raw

    async def tell(self, *tasks: Any) -> None:
        await self.raw.send_str(json.dumps(list(tasks)))

    async def hear(self, seconds: float = 10) -> dict[str, Any]:
        message = await self.raw.receive(seconds)
        assert message.type == WSMsgType.TEXT, message
        return json.loads(message.data)

    async def ask(self, *tasks: Any) -> dict[str, Any]:
        await self.tell(*tasks)
        return await self.hear()

    async def silent(self, seconds: float = 0.2) -> bool:
        try:
            await self.raw.receive(seconds)
        except asyncio.TimeoutError:
            return True
        return False

    async def login(self, **more: Any) -> str:
        answer = await self.ask({"taskType": "authentication", "apiKey": KEY, **more})
        (entry,) = answer["data"]
        assert entry["taskType"] == "authentication"
        return entry["connectionSessionUUID"]


@asynccontextmanager
async def socket(local: Local) -> AsyncIterator[Socket]:
    async with local.client.ws_connect(local.socket_url) as raw:
        yield Socket(raw)


def poll(task: dict[str, Any]) -> dict[str, Any]:
    return {"taskType": "getResponse", "taskUUID": task["taskUUID"]}


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
async def test_keys_cannot_be_guessed_without_end(tmp_path: Path) -> None:
    async with serving(tmp_path, api_keys=(KEY,)) as local, socket(local) as client:
        for guess in range(5):
            answer = await client.ask({"taskType": "authentication", "apiKey": f"guess {guess}"})
            assert answer["errors"][0]["code"] == "invalidApiKey"
        message = await client.raw.receive(5)
        assert message.type == WSMsgType.CLOSE and message.data == 1008


@in_loop
async def test_one_connection_has_one_session(tmp_path: Path) -> None:
    async with serving(tmp_path, api_keys=(KEY,)) as local, socket(local) as client:
        assert len({await client.login() for _ in range(5)}) == 1
        assert len(local.runner.app[SESSIONS]._sessions) == 1


@in_loop
async def test_a_key_in_the_header_or_no_key_at_all_needs_no_authentication(tmp_path: Path) -> None:
    async with serving(tmp_path, api_keys=(KEY,)) as local:
        headers = {"Authorization": f"Bearer {KEY}"}
        async with local.client.ws_connect(local.url + "/", headers=headers) as raw:
            assert "data" in await Socket(raw).ask(body())
    async with serving(tmp_path / "open") as local, socket(local) as client:
        assert "data" in await client.ask(body())
        assert await client.login(), "a client that brings a key is welcome too"


@in_loop
async def test_authentication_and_work_in_one_message(tmp_path: Path) -> None:
    async with serving(tmp_path, api_keys=(KEY,)) as local, socket(local) as client:
        task = body()
        assert (
            "connectionSessionUUID"
            in (await client.ask({"taskType": "authentication", "apiKey": KEY}, task))["data"][0]
        )
        assert (await client.hear())["data"][0]["taskUUID"] == task["taskUUID"]


@in_loop
async def test_each_result_is_a_message_as_soon_as_it_is_there(tmp_path: Path) -> None:
    gate = Gate()
    async with serving(tmp_path, TinyEngine(tmp_path / "work", act=gate)) as local, socket(local) as client:
        task = body(numberResults=3, seed=7)
        await client.tell(task)
        for seed in (7, 8, 9):
            assert await client.silent()
            gate.let()
            (entry,) = (await client.hear())["data"]
            assert entry["seed"] == seed and "status" not in entry
        assert await client.silent()


@in_loop
async def test_a_ping_is_answered_while_tasks_are_worked_on(tmp_path: Path) -> None:
    gate = Gate()
    async with serving(tmp_path, TinyEngine(tmp_path / "work", act=gate)) as local, socket(local) as client:
        await client.tell(body())
        assert await client.ask(PING) == PONG
        assert await client.ask(PING, PING) == PONG and await client.hear() == PONG
        gate.let()
        assert "audioURL" in (await client.hear())["data"][0]


@in_loop
async def test_an_async_task_is_acknowledged_and_a_poll_is_followed_by_what_comes(tmp_path: Path) -> None:
    """The client asks once and then waits for as many results as it ordered."""
    gate = Gate()
    async with serving(tmp_path, TinyEngine(tmp_path / "work", act=gate)) as local, socket(local) as client:
        task = body(deliveryMethod="async", numberResults=3, seed=1)
        assert await client.ask(task) == {"data": [{"taskType": "audioInference", "taskUUID": task["taskUUID"]}]}
        gate.let()
        tasks = await local.runner.app[CONTEXT].tasks()
        while (await tasks.state(task["taskUUID"])).results[0]["status"] != "success":  # type: ignore[union-attr]  # known
            await asyncio.sleep(0.01)
        assert await client.silent(), "nothing is pushed unasked"
        answer = await client.ask(poll(task))
        assert [entry["status"] for entry in answer["data"]] == ["success", "processing", "processing"]
        gate.let(2)
        pushed = [(await client.hear())["data"] for _ in range(2)]
        assert [[(entry["seed"], entry["status"]) for entry in data] for data in pushed] == [
            [(2, "success")],
            [(3, "success")],
        ]
        answer = await client.ask(poll(task))
        assert [entry["seed"] for entry in answer["data"]] == [1, 2, 3]
        assert await client.silent(), "no result comes twice"


@in_loop
async def test_errors_of_a_run_are_pushed(tmp_path: Path) -> None:
    def fail(graph: Graph) -> None:
        raise RuntimeError("no")

    async with serving(tmp_path, TinyEngine(tmp_path / "work", act=fail)) as local, socket(local) as client:
        task = body(numberResults=2)
        await client.tell(task)
        for _ in range(2):
            answer = await client.hear()
            assert "data" not in answer and [error["taskUUID"] for error in answer["errors"]] == [task["taskUUID"]]
        assert await client.silent()


@in_loop
async def test_bad_and_good_tasks_of_one_message(tmp_path: Path) -> None:
    async with serving(tmp_path) as local, socket(local) as client:
        good, bad = body(), body(steps=0)
        await client.tell(bad, good)
        answers = [await client.hear(), await client.hear()]
        assert answers[0]["errors"][0]["taskUUID"] == bad["taskUUID"]
        assert answers[1]["data"][0]["taskUUID"] == good["taskUUID"]


@in_loop
async def test_a_session_gets_what_it_is_owed_when_it_comes_back(tmp_path: Path) -> None:
    gate = Gate()
    async with serving(tmp_path, TinyEngine(tmp_path / "work", act=gate), api_keys=(KEY,)) as local:
        task = body(numberResults=3, seed=1)
        async with socket(local) as client:
            known = await client.login()
            await client.tell(task)
            gate.let()
            assert (await client.hear())["data"][0]["seed"] == 1
        gate.let()
        tasks = await local.runner.app[CONTEXT].tasks()
        while (await tasks.state(task["taskUUID"])).results[1]["status"] != "success":  # type: ignore[union-attr]  # known
            await asyncio.sleep(0.01)
        async with socket(local) as stranger:
            assert await stranger.login() != known
            assert await stranger.silent()
        async with socket(local) as client:
            assert await client.login(connectionSessionUUID=known) == known
            assert (await client.hear())["data"][0]["seed"] == 2, "what was made meanwhile, once"
            gate.let()
            assert (await client.hear())["data"][0]["seed"] == 3
            assert await client.silent()
        async with socket(local) as client:
            assert await client.login(connectionSessionUUID=new_uuid()) != known


@in_loop
async def test_a_session_is_forgotten_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "RESUME_SECONDS", 0.2)
    gate = Gate()
    async with serving(tmp_path, TinyEngine(tmp_path / "work", act=gate)) as local:
        sessions = local.runner.app[SESSIONS]
        async with socket(local) as client:
            await client.login()
            await client.tell(body())
            await until(lambda: any(one.pending for one in sessions._sessions.values()))
        await until(lambda: not sessions._connections)
        assert sessions._sessions
        await until(lambda: not sessions._sessions, 2)
        async with socket(local) as client:
            await client.login()
        await until(lambda: not sessions._sessions, 2)
        gate.let()


@in_loop
async def test_a_second_connection_takes_the_session_over(tmp_path: Path) -> None:
    gate = Gate()
    engine = TinyEngine(tmp_path / "work", act=gate)
    async with serving(tmp_path, engine) as local, socket(local) as old, socket(local) as new:
        known = await old.login()
        await old.tell(body())
        assert await new.login(connectionSessionUUID=known) == known
        await asyncio.sleep(0.1)
        gate.let()
        assert "data" in await new.hear()
        assert await old.silent()


@in_loop
async def test_messages_that_hold_no_tasks(tmp_path: Path) -> None:
    async with serving(tmp_path) as local, socket(local) as client:
        for text in ("", "{", "{}", "[]", "NaN", "[" * 100_000):
            await client.raw.send_str(text)
            assert [error["code"] for error in (await client.hear())["errors"]] == ["invalidRequest"]
        await client.raw.send_bytes(b"[]")
        assert "binary" in (await client.hear())["errors"][0]["message"]
        assert await client.ask(PING) == PONG


@in_loop
async def test_a_message_that_is_too_long_ends_the_connection(tmp_path: Path) -> None:
    async with serving(tmp_path, media_mib=1) as local, socket(local) as client:
        await client.raw.send_str(" " * (local.runner.app[CONTEXT].settings.max_body_bytes + 1))
        message = await client.raw.receive(5)
        assert message.type == WSMsgType.CLOSE and message.data == 1009


@in_loop
async def test_a_connection_without_a_key_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "LOGIN_SECONDS", 0.2)
    async with serving(tmp_path, api_keys=(KEY,)) as local, socket(local) as client, socket(local) as admitted:
        await admitted.login()
        message = await client.raw.receive(5)
        assert message.type == WSMsgType.CLOSE and message.data == 1008
        assert await admitted.silent(0.3)


@in_loop
async def test_connections_and_messages_at_once_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "MAX_CONCURRENT", 1)
    async with serving(tmp_path, max_websockets=1) as local:
        async with socket(local) as client:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await local.client.ws_connect(local.socket_url)
            assert refused.value.status == 429
            slow = asyncio.Event()

            async def wait(*_: Any) -> Any:
                await slow.wait()

            monkeypatch.setattr(local.runner.app[CONTEXT]._tasks, "state", wait)
            await client.tell(poll(body()))
            assert (await client.ask(poll(body())))["errors"][0]["code"] == "tooManyRequests"
            assert await client.ask(PING) == PONG
            slow.set()
            assert (await client.hear())["errors"][0]["code"] == "taskNotFound"
        await until(lambda: not local.runner.app[SESSIONS].full)
        async with socket(local) as client:
            assert await client.ask(PING) == PONG


@in_loop
async def test_a_stopping_server_asks_its_clients_to_come_back(tmp_path: Path) -> None:
    async with serving(tmp_path) as local, socket(local) as client:
        assert await client.ask(PING) == PONG
        stopping = asyncio.create_task(local.runner.app.shutdown())
        message = await client.raw.receive(5)
        assert message.type == WSMsgType.CLOSE and message.data == 1012, "after 1000 and 1001 clients stay away"
        await stopping

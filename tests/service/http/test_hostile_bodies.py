"""Access is decided before a body is read, and what is read of one is bounded, for all requests together too."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from local_service import Local, serving
from service_tools import in_loop, until

from acestep_xl.service.http import routes
from acestep_xl.service.http.byte_budget import BudgetSpent, ByteBudget
from acestep_xl.service.http.context import CONTEXT
from acestep_xl.service.http.request_log import request_logger

KEY = "a-key-of-some-length"
PING = [{"taskType": "ping", "ping": True}]
JSON_TYPE = {"Content-Type": "application/json"}


@asynccontextmanager
async def connected(local: Local) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(local.url.rpartition(":")[2]))
    try:
        yield reader, writer
    finally:
        writer.close()


async def answer_to_head(local: Local, **headers: str) -> tuple[int, dict[str, Any]]:
    """The answer to the head of a POST whose body never comes."""
    lines = {"Host": "localhost", "Content-Length": "132000000", "Content-Type": "application/json"}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    async with connected(local) as (reader, writer):
        writer.write(f"POST /v1 HTTP/1.1\r\n{head}\r\n".encode())
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        size = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return int(answer.split()[1]), json.loads(await reader.readexactly(size))


@in_loop
async def test_access_is_decided_before_the_body_is_read(tmp_path: Path) -> None:
    async with serving(tmp_path, api_keys=(KEY,)) as local:
        for headers, status, code in (
            ({}, 401, "missingApiKey"),
            ({"Authorization": "Bearer wrong"}, 401, "invalidApiKey"),
            ({"Authorization": f"Bearer {KEY}", "Origin": "https://evil.example"}, 403, "forbidden"),
            ({"Authorization": f"Bearer {KEY}", "Content_Type": "text/plain"}, 415, "invalidRequest"),
            ({"Authorization": f"Bearer {KEY}", "Content_Length": "999000000"}, 413, "invalidRequest"),
        ):
            received, answer = await answer_to_head(local, **headers)
            assert (received, answer["errors"][0]["code"]) == (status, code)
    async with serving(tmp_path / "open") as local:
        assert (await answer_to_head(local, Host="evil.example"))[0] == 403


@in_loop
async def test_a_key_within_the_body_is_read_from_a_short_one_only(tmp_path: Path) -> None:
    login = {"taskType": "authentication", "apiKey": KEY}

    async def endless() -> AsyncIterator[bytes]:
        yield json.dumps([login, *PING]).encode()[:-1]
        while True:
            yield b" " * 2**14

    async with serving(tmp_path, api_keys=(KEY,)) as local:
        assert (await local.send(login, *PING))[0] == 200
        async with local.client.post(f"{local.url}/v1", data=endless(), headers=JSON_TYPE) as answer:
            assert answer.status == 401
            assert (await answer.json())["errors"][0]["code"] == "missingApiKey"
        assert (await local.send(login, *PING, {"x": "a" * routes.KEYLESS_BYTES}))[0] == 401
        assert (await local.send(login, *PING, {"x": "a" * routes.KEYLESS_BYTES}, key=KEY))[0] == 200


@in_loop
async def test_bytes_in_flight_are_bounded_for_each_client_and_in_total(tmp_path: Path) -> None:
    async with serving(tmp_path, media_mib=1) as local:
        context = local.runner.app[CONTEXT]
        most = context.settings.max_body_bytes
        held = b'[{"taskType":"mediaStorage","media":"' + b"a" * (most - 2**17)
        async with connected(local) as (_, writer):
            writer.write(b"POST /v1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
            writer.write(f"Content-Length: {most}\r\n\r\n".encode() + held)
            await until(lambda: context.budget.used > most - 2**18)
            large = [{"taskType": "mediaStorage", "media": "a" * 2**19}]
            status, answer = await local.send(*large)
            assert (status, answer["errors"][0]["code"]) == (429, "tooManyRequests")
            assert (await local.send(*PING))[0] == 200, "small requests go on"
        await until(lambda: context.budget.used == 0)
        assert (await local.send(*large))[0] == 400


def test_a_budget_bounds_clients_and_all_together() -> None:
    budget = ByteBudget(total=100, per_client=60)
    with budget.lease("first") as first, budget.lease("second") as second:
        first.resize(60)
        for lease, size in ((first, 61), (second, 41)):
            with pytest.raises(BudgetSpent):
                lease.resize(size)
        second.resize(40)
        first.resize(10)
        second.resize(60)
        assert budget.used == 70
    assert budget.used == 0


MALFORMED: dict[str, bytes] = {
    "a space before the colon": b"GET /health HTTP/1.1\r\nHost: localhost\r\nAuthorization : Bearer %s\r\n\r\n",
    "a control byte": b"GET /health HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\x01\r\n\r\n",
    "a header without a colon": b"GET /health HTTP/1.1\r\nHost: localhost\r\nAuthorization Bearer %s\r\n\r\n",
    "a bad request line": b"GET /health?key=%s HTTP/9\r\nHost: localhost\r\n\r\n",
    "no request line": b"Bearer %s\r\n\r\n",
    "a bad method": b"G\x00T /%s HTTP/1.1\r\n\r\n",
    "a long line": b"GET /health HTTP/1.1\r\nAuthorization: Bearer %s" + b"a" * 20_000 + b"\r\n\r\n",
    "a bad length": b"POST /v1 HTTP/1.1\r\nContent-Length: %s\r\n\r\n",
    "a bad chunk": b"POST /v1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n%s\r\n",
    "a subprotocol": b"GET /v1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_are_one_line_in_the_log_without_their_content(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    @in_loop
    async def run() -> None:
        async with serving(tmp_path, logger=request_logger()) as local, connected(local) as (reader, writer):
            caplog.clear()
            caplog.set_level(logging.DEBUG)
            writer.write(MALFORMED[name] % KEY.encode())
            assert (await asyncio.wait_for(reader.readline(), 20)).split()[1] in (b"400", b"101")
            assert (await local.get("/health"))[0] == 200

    run()
    records = [record for record in caplog.records if record.name.startswith(("aiohttp", "acestep_xl"))]
    lines = [logging.Formatter().format(record) for record in records]
    assert not any(KEY in line or "Traceback" in line or "\n" in line for line in lines), lines
    assert len(lines) <= 1 and all("127.0.0.1" in line for line in lines)


@in_loop
async def test_a_client_that_leaves_within_its_body_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path) as local:
        async with connected(local) as (_, writer):
            writer.write(b"POST /v1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
            writer.write(b"Content-Length: 999\r\n\r\n[")
            await until(lambda: local.runner.app[CONTEXT].active_requests == 1)
        await until(lambda: local.runner.app[CONTEXT].active_requests == 0)
    assert "Traceback" not in caplog.text and not [one for one in caplog.records if one.levelno >= logging.ERROR]

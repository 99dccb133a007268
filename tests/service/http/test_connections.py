"""The server's connections: idle ones make room for others, silent and stalled ones are closed."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from local_service import Gate
from service_tools import TinyEngine, body, in_loop, until

from acestep_xl.service.http import connections as connections_module
from acestep_xl.service.http import server
from acestep_xl.service.http.access import client_name
from acestep_xl.service.queue.tasks import Tasks
from acestep_xl.service.settings import ServiceSettings

HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
OK = b"HTTP/1.1 200"

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def listening(folder: Path, engine: TinyEngine | None = None, limit: int = 4) -> AsyncIterator[int]:
    """The port of a server that takes `limit` connections."""
    settings = ServiceSettings(max_connections=limit - 1, max_websockets=1, demo=True)
    engine = engine or TinyEngine(folder / "work")
    runner = server.build_runner(settings, functools.partial(Tasks.open, folder, engine, settings))
    await runner.setup()
    bound = server.bind("127.0.0.1", 0)
    port = bound.getsockname()[1]
    connections = connections_module.Connections(server._connection_limit(limit))
    serving = await server._listen(runner, connections, bound)
    try:
        yield port
    finally:
        serving.close()
        await runner.cleanup()


async def connect(port: int) -> Stream:
    return await asyncio.open_connection("127.0.0.1", port)


async def ask(stream: Stream, request: bytes = HEALTH) -> bytes:
    """The status line of an answer."""
    reader, writer = stream
    writer.write(request)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    await reader.readexactly(size)
    return head[: len(OK)]


async def is_closed(stream: Stream) -> bool:
    try:
        return await asyncio.wait_for(stream[0].read(1), 20) == b""
    except ConnectionError:
        return True


def song() -> bytes:
    """A request whose answer takes as long as the song."""
    text = json.dumps([body()]).encode()
    head = b"POST /v1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    return head + str(len(text)).encode() + b"\r\n\r\n" + text


@in_loop
async def test_idle_connections_give_way_the_longest_idle_first(tmp_path: Path) -> None:
    async with listening(tmp_path) as port:
        streams = [await connect(port) for _ in range(4)]
        for stream in (streams[2], streams[0], streams[1], streams[3]):
            assert await ask(stream) == OK
        assert await ask(await connect(port)) == OK
        assert await is_closed(streams[2])
        for stream in (streams[0], streams[1], streams[3]):
            assert await ask(stream) == OK, "the others are still open"


@in_loop
async def test_busy_connections_never_give_way_and_further_ones_are_refused(tmp_path: Path) -> None:
    gate = Gate()
    async with listening(tmp_path, TinyEngine(tmp_path / "work", act=gate)) as port:
        # Three wait for songs, as many requests as are allowed at once; the fourth connection is idle.
        streams = [await connect(port) for _ in range(3)]
        for _, writer in streams:
            writer.write(song())
        await asyncio.sleep(0.5)
        idle = await connect(port)
        fifth = await connect(port)
        assert await is_closed(idle)
        fifth[1].write(b"POST /v1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
        assert (await asyncio.wait_for(fifth[0].readline(), 20)).startswith(b"HTTP/1.1 429")
        gate.release(3)
        for reader, _ in streams:
            assert (await asyncio.wait_for(reader.readline(), 20)).startswith(OK)


@in_loop
async def test_without_idle_connections_new_ones_get_503_before_any_parsing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_connection_limit", lambda wanted: 2)
    gate = Gate()
    async with listening(tmp_path, TinyEngine(tmp_path / "work", act=gate), limit=10) as port:
        streams = [await connect(port) for _ in range(2)]
        for _, writer in streams:
            writer.write(song())
        await asyncio.sleep(0.5)
        reader, _ = await connect(port)
        assert (await asyncio.wait_for(reader.readline(), 20)).startswith(b"HTTP/1.1 503")
        gate.release(2)
        for reader, _ in streams:
            assert (await asyncio.wait_for(reader.readline(), 20)).startswith(OK)
        assert await ask(await connect(port)) == OK


@in_loop
async def test_silent_sockets_of_one_client_shut_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections_module, "MAX_SILENT", 3)
    monkeypatch.setattr(connections_module, "GRACE_SECONDS", 0.0)
    async with listening(tmp_path, limit=100) as port:
        good = await connect(port)
        assert await ask(good) == OK
        silent = [await connect(port) for _ in range(10)]
        for stream in silent[:7]:
            assert await is_closed(stream)
        assert await ask(silent[9]) == OK and await ask(good) == OK, "the last ones and those with requests stay"


@in_loop
async def test_silent_sockets_cost_no_more_than_their_place(tmp_path: Path) -> None:
    """What parses requests is built with the first byte, and whatever is silent at the end is closed with the rest."""
    connections = connections_module.Connections(1000)
    built: list[asyncio.Protocol] = []

    def build() -> asyncio.Protocol:
        built.append(asyncio.Protocol())
        return built[-1]

    listening_server = await asyncio.get_running_loop().create_server(lambda: connections.guard(build), "127.0.0.1", 0)
    port = listening_server.sockets[0].getsockname()[1]
    silent = [await connect(port) for _ in range(100)]
    await until(lambda: len(connections._open) == 100)
    assert not built
    silent[0][1].write(b"G")
    await until(lambda: built)
    connections.close_silent()
    for stream in silent:
        assert await is_closed(stream)
    listening_server.close()


@in_loop
async def test_a_first_request_that_does_not_arrive_closes_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections_module, "FIRST_REQUEST_SECONDS", 2.0)
    async with listening(tmp_path) as port:
        silent, slow, good = [await connect(port) for _ in range(3)]
        slow[1].write(b"GET /health HTTP/1.1\r\nHost: lo")
        assert await ask(good) == OK
        assert await is_closed(silent) and await is_closed(slow)
        assert await ask(good) == OK


@in_loop
async def test_a_client_that_takes_nothing_of_its_answer_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections_module, "STALLED_SECONDS", 0.5)
    connections = connections_module.Connections(10)
    closed = asyncio.Event()

    class Endless(asyncio.Protocol):
        """Sends more than the client takes."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport.write(bytes(2**26))  # type: ignore[attr-defined]  # it is a socket's

        def connection_lost(self, exc: Exception | None) -> None:
            closed.set()

        def pause_writing(self) -> None:
            """As aiohttp's protocol would, wait."""

        resume_writing = pause_writing

    listening_server = await asyncio.get_running_loop().create_server(
        lambda: connections.guard(Endless), "127.0.0.1", 0
    )
    stream = await connect(listening_server.sockets[0].getsockname()[1])
    stream[1].write(b"GET")
    stream[0]._transport.pause_reading()  # type: ignore[attr-defined]  # asyncio offers no other way
    await asyncio.wait_for(closed.wait(), 20)
    await until(lambda: not connections._open)
    listening_server.close()


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, ""),
        ("unix", "unix"),
    ],
)
def test_what_a_client_is_known_by(address: str | None, name: str) -> None:
    assert client_name(address) == name

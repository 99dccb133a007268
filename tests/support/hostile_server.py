"""Scripted HTTP servers, and a network that serves them under public host names."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from acestep_xl.transfer.network import Network

PUBLIC = "93.184.216.34"
CERTIFICATE = Path(__file__).parent / "song_example.pem"  # of song.example, self-signed, valid from 2020 to 2120

Script = Callable[["Visit"], Awaitable[None]]


@dataclass
class Visit:
    """One request: its head, and the connection behind it."""

    head: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def path(self) -> str:
        return self.head.split(" ")[1]

    @property
    def headers(self) -> dict[str, str]:
        lines = self.head.split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}

    async def body(self) -> bytes:
        return await self.reader.readexactly(int(self.headers["content-length"]))

    async def send(self, data: bytes) -> None:
        """Send, and wait until the other side has read most of it."""
        self.writer.write(data)
        await self.writer.drain()
        await asyncio.sleep(0)  # drain does not yield while the buffer has room


@dataclass
class Served:
    """A running server: its port and the requests received so far."""

    port: int
    visits: list[Visit] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [visit.path for visit in self.visits]


def response(status: int = 200, body: bytes = b"", /, **headers: str) -> bytes:
    """An HTTP response; "_" in header names stands for "-".

    Content-Length is added unless it is stated ("" for none) or the body is chunked.
    """
    stated = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    if "transfer-encoding" not in stated:
        stated.setdefault("content-length", str(len(body)))
    lines = [f"{name}: {value}\r\n" for name, value in stated.items() if value]
    return f"HTTP/1.1 {status} So\r\n{''.join(lines)}\r\n".encode() + body


def responding(data: bytes) -> Script:
    """Sends the same bytes to every client."""

    async def script(visit: Visit) -> None:
        await visit.send(data)

    return script


@asynccontextmanager
async def serving(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Served]:
    """A server on a free local port that runs `script` for each connection's only request."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                head = await reader.readuntil(b"\r\n\r\n")
                visit = Visit(head.decode("latin-1"), reader, writer)
                served.visits.append(visit)
                await script(visit)
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    served = Served(server.sockets[0].getsockname()[1])
    try:
        yield served
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class Stage:
    """A network that records lookups and connections.

    port: the local server that all connections go to. answers: name -> the result of each lookup in turn, the last one
    repeated; names that are not listed have one public address.
    """

    port: int
    answers: dict[str, list[Sequence[str]]] = field(default_factory=dict)
    tls: ssl.SSLContext | None = None
    lookups: list[str] = field(default_factory=list)
    connections: list[tuple[str, int]] = field(default_factory=list)

    @property
    def network(self) -> Network:
        return Network(lookup=self._lookup, route=self._route, tls=self.tls)

    async def _lookup(self, host: str) -> Sequence[str]:
        self.lookups.append(host)
        answers = self.answers.get(host, [[PUBLIC]])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def _route(self, address: str, port: int) -> tuple[str, int]:
        self.connections.append((address, port))
        return "127.0.0.1", self.port


def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


def trusting() -> ssl.SSLContext:
    """The default verification, which also trusts the test's certificate."""
    return ssl.create_default_context(cafile=str(CERTIFICATE))


def endless(beginning: bytes, repeated: bytes) -> Script:
    """Sends a beginning, then the same bytes for as long as the client reads."""

    async def script(visit: Visit) -> None:
        await visit.send(beginning)
        while True:
            await visit.send(repeated)

    return script


def slowly(data: bytes, beginning: bytes = b"") -> Script:
    """Sends a beginning at once, then a byte every 20 ms."""

    async def script(visit: Visit) -> None:
        await visit.send(beginning)
        for byte in data:
            await visit.send(bytes([byte]))
            await asyncio.sleep(0.02)

    return script

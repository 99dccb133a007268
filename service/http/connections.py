"""The connections of the standalone server: limited in number, without letting idle ones keep others out."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from .access import client_name
from .paced import PacedProtocol

FIRST_REQUEST_SECONDS = 20.0  # a connection whose first request has not arrived by then is closed
STALLED_SECONDS = 60.0  # one whose client takes nothing of an answer for so long, too
MAX_SILENT = 128  # connections of one client without any request so far; beyond it the oldest is closed
GRACE_SECONDS = 2.0  # for which it stays all the same: its request may have arrived and not been read yet
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Connections:
    """limit: of open connections. Beyond it the one that has been idle longest makes room, and if none is idle the new
    one is refused."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: set[Gate] = set()
        self._idle: dict[Gate, None] = {}  # the longest idle first
        self._silent: defaultdict[str, dict[Gate, None]] = defaultdict(dict)  # by client, the oldest first

    def guard(self, build_inner: Callable[[], asyncio.Protocol]) -> Gate:
        """A protocol that stands before the server's own for one connection."""
        return Gate(self, build_inner)

    def close_silent(self) -> None:
        """Close the connections that the server's own protocols, which it closes itself, know nothing of."""
        for silent in list(self._silent.values()):
            for gate in list(silent):
                gate.drop()

    def add(self, gate: Gate) -> bool:
        """Whether a new connection is admitted."""
        silent = self._silent[gate.client]
        if len(silent) >= MAX_SILENT and (oldest := next(iter(silent))).age > GRACE_SECONDS:
            oldest.drop()
        if len(self._open) >= self._limit:
            if not self._idle:
                return False
            next(iter(self._idle)).drop()
        self._open.add(gate)
        self._idle[gate] = silent[gate] = None
        return True

    def set_busy(self, gate: Gate) -> None:
        self._idle.pop(gate, None)
        self._forget_silent(gate)

    def set_idle(self, gate: Gate) -> None:
        if gate in self._open:
            self._idle[gate] = None

    def remove(self, gate: Gate) -> None:
        self._open.discard(gate)
        self._idle.pop(gate, None)
        self._forget_silent(gate)

    def _forget_silent(self, gate: Gate) -> None:
        silent = self._silent.get(gate.client, {})
        silent.pop(gate, None)
        if not silent:
            self._silent.pop(gate.client, None)


class Gate(PacedProtocol):
    """One connection. client: its address. Passes everything on to the protocol it stands before, which is built only
    for the first byte: it is most of the work that a connection makes, and many can be opened at once."""

    def __init__(self, connections: Connections, build_inner: Callable[[], asyncio.Protocol]) -> None:
        self.client = ""
        self._connections, self._build_inner = connections, build_inner
        self._inner: asyncio.Protocol | None = None
        self._transport: asyncio.Transport | None = None
        self._opened = time.monotonic()
        self._requests = 0  # that are being handled
        self._refused = False
        self._deadline: asyncio.TimerHandle | None = None  # of the first request
        self._stalled: asyncio.TimerHandle | None = None

    @property
    def age(self) -> float:
        """Seconds since it was opened."""
        return time.monotonic() - self._opened

    def drop(self) -> None:
        """Close the connection at once."""
        self._connections.remove(self)
        if self._transport is not None:
            self._transport.abort()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """While a request is handled, the connection is not idle."""
        _cancel(self._deadline)
        self._requests += 1
        self._connections.set_busy(self)
        try:
            yield
        finally:
            self._requests -= 1
            if not self._requests:
                self._connections.set_idle(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.client = client_name(peer[0] if isinstance(peer, tuple) else None)
        self._refused = not self._connections.add(self)
        if self._refused:
            self._transport.write(BUSY)
            self._transport.close()
            return
        self._deadline = asyncio.get_running_loop().call_later(FIRST_REQUEST_SECONDS, self.drop)

    def data_received(self, data: bytes) -> None:
        if self._refused or self._transport is None:
            return
        if self._inner is None:
            self._inner = self._build_inner()
            self._inner.connection_made(self._transport)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return None if self._inner is None else self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        _cancel(self._deadline)
        _cancel(self._stalled)
        self._connections.remove(self)
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._stalled = asyncio.get_running_loop().call_later(STALLED_SECONDS, self.drop)
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        _cancel(self._stalled)
        if self._inner is not None:
            self._inner.resume_writing()


@contextmanager
def busy(request: web.Request) -> Iterator[None]:
    """While a request is handled. Does nothing in another server than the standalone one."""
    protocol = None if request.transport is None else request.transport.get_protocol()
    if not isinstance(protocol, Gate):
        yield
        return
    with protocol.busy():
        yield


class BusyFileResponse(web.FileResponse):
    """A file whose connection counts as busy while it is sent, which happens after the handler has returned."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        with busy(cast(web.Request, request)):
            return await super().prepare(request)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()

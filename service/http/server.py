"""A standalone server for the application: listening, limits on connections, and a graceful stop."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import cast

from aiohttp import web

from ..engine.protocol import Engine
from ..queue.tasks import Tasks
from ..settings import ServiceSettings
from .app import build_app

IDLE_SECONDS = 75.0  # a connection without a request is closed after so long
SHUTDOWN_SECONDS = 5.0  # active requests get so long to finish when the server stops
BACKLOG = 512


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 picks a free one. Raises OSError."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(addresses, key=lambda entry: entry[0] != socket.AF_INET)  # IPv4 first
    return socket.create_server(cast(tuple[str, int], address[:2]), family=family, backlog=BACKLOG)


async def serve(
    settings: ServiceSettings, folder: Path, engine: Engine, listening: socket.socket, say: Callable[[str], None]
) -> None:
    """Serve until SIGINT or SIGTERM; a second one kills. Unfinished tasks stay in the queue of `folder`."""
    app = build_app(settings, lambda: Tasks.open(folder, engine, settings))
    runner = web.AppRunner(
        app, access_log=None, keepalive_timeout=IDLE_SECONDS, shutdown_timeout=SHUTDOWN_SECONDS, handle_signals=False
    )
    stopped = _stop_signal()
    await runner.setup()
    try:
        server = await _listen(runner, settings, listening)
        say(f"listening on {settings.base_url}" + (" with the demo network" if settings.demo else ""))
        await stopped.wait()
        say("stopping; press Ctrl-C again to kill")
        server.close()
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, settings: ServiceSettings, listening: socket.socket) -> asyncio.Server:
    """Accept connections up to the limit; those beyond it are refused at once, before any parsing."""
    requests = runner.server
    assert requests is not None
    limit = settings.max_connections + settings.max_websockets

    def accept() -> asyncio.Protocol:
        return requests() if len(requests.connections) < limit else _Refuse()

    return await asyncio.get_running_loop().create_server(accept, sock=listening, backlog=BACKLOG)


class _Refuse(asyncio.Protocol):
    """Answers 503 and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n")
        transport.close()


def _stop_signal() -> asyncio.Event:
    """An event that the first SIGINT or SIGTERM sets; the second one has its default effect."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        for signal_number in numbers:
            signal.signal(signal_number, signal.SIG_DFL)
        loop.call_soon_threadsafe(stopped.set)

    for signal_number in numbers:
        signal.signal(signal_number, stop)
    return stopped

"""A server of its own for the application: listening, bounds on connections, and stopping in good order."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, cast

from aiohttp import web

from ..queue.tasks import Tasks
from .app import build_app

if TYPE_CHECKING:
    from ..engine.protocol import Engine
    from ..settings import ServiceSettings

IDLE_SECONDS = 75.0  # a connection that sends no request for so long is closed
FAREWELL_SECONDS = 5.0  # requests being answered get so long when the server stops
BACKLOG = 512


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return socket.create_server(cast(tuple[str, int], address[:2]), family=family, backlog=BACKLOG)


async def serve(
    settings: ServiceSettings, folder: Path, engine: Engine, listening: socket.socket, say: Callable[[str], None]
) -> None:
    """Serve until SIGINT or SIGTERM; a second one kills. What is unfinished then stays in the queue of `folder`."""
    app = build_app(settings, lambda: Tasks.open(folder, engine, settings))
    runner = web.AppRunner(
        app, access_log=None, keepalive_timeout=IDLE_SECONDS, shutdown_timeout=FAREWELL_SECONDS, handle_signals=False
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
    """Accept connections, and turn away those beyond the bound before they cost anything."""
    requests = runner.server
    assert requests is not None
    most = settings.max_connections + settings.max_websockets

    def accept() -> asyncio.Protocol:
        return requests() if len(requests.connections) < most else _Full()

    return await asyncio.get_running_loop().create_server(accept, sock=listening, backlog=BACKLOG)


class _Full(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n")
        transport.close()


def _stop_signal() -> asyncio.Event:
    """Set by the first SIGINT or SIGTERM; the second one acts as if there were no handler."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        loop.call_soon_threadsafe(stopped.set)

    for number in numbers:
        signal.signal(number, stop)
    return stopped

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
from .connections import Connections
from .context import OpenTasks
from .request_log import request_logger

try:
    import resource
except ImportError:  # on Windows
    resource = None

OTHER_FILES = 256  # open files beside the connections: the database, results, model files, deliveries
LINGERING_SECONDS = 2.0  # for which what is left of a refused body is read, so that the client sees the answer
IDLE_SECONDS = 75.0  # a connection without a request is closed after so long
SHUTDOWN_SECONDS = 5.0  # active requests get so long to finish when the server stops
ACCEPTED = 32  # connections at a time, before those that are open get their turn
BACKLOG = 2048  # a client whose connection does not fit in waits a second or more before it tries again


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 picks a free one. Raises OSError."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(addresses, key=lambda entry: entry[0] != socket.AF_INET)  # IPv4 first
    return socket.create_server(cast(tuple[str, int], address[:2]), family=family, backlog=BACKLOG)


async def serve(
    settings: ServiceSettings, folder: Path, engine: Engine, listening: socket.socket, say: Callable[[str], None]
) -> None:
    """Serve until SIGINT or SIGTERM; a second one kills. Unfinished tasks stay in the queue of `folder`."""
    runner = build_runner(settings, lambda: Tasks.open(folder, engine, settings))
    stopped = _stop_signal()
    await runner.setup()
    connections = Connections(_connection_limit(settings.max_connections + settings.max_websockets))
    try:
        server = await _listen(runner, connections, listening)
        say(f"listening on {settings.base_url}" + (" with the demo network" if settings.demo else ""))
        await stopped.wait()
        say("stopping; press Ctrl-C again to kill")
        server.close()
        connections.close_silent()
    finally:
        await runner.cleanup()


def build_runner(settings: ServiceSettings, open_tasks: OpenTasks) -> web.AppRunner:
    """The application, ready to be set up."""
    return web.AppRunner(
        build_app(settings, open_tasks),
        access_log=None,
        logger=request_logger(),
        keepalive_timeout=IDLE_SECONDS,
        lingering_time=LINGERING_SECONDS,
        shutdown_timeout=SHUTDOWN_SECONDS,
        handle_signals=False,
    )


async def _listen(runner: web.AppRunner, connections: Connections, listening: socket.socket) -> asyncio.Server:
    """Accept connections up to the limit; those beyond it are refused at once, before any parsing."""
    requests = runner.server
    assert requests is not None

    def accept() -> asyncio.BaseProtocol:
        return connections.guard(requests)

    server = await asyncio.get_running_loop().create_server(accept, sock=listening, backlog=ACCEPTED)
    listening.listen(BACKLOG)  # asyncio accepts as many connections in one go as it is given as its backlog
    return server


def _connection_limit(wanted: int) -> int:
    """As many connections as wanted, as far as this process may open files, a limit that is raised if need be."""
    if resource is None:
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        return max(1, soft - OTHER_FILES)
    return wanted


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

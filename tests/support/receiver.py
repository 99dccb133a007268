"""A real HTTP server for tests of what is sent: it keeps every request and answers as it is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True)
class Request:
    """One request that arrived."""

    method: str
    path: str  # with its query
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """What a server got, in order. status: what it answers. delay: seconds before it answers."""

    url: str = ""
    status: int = 200
    delay: float = 0.0
    got: list[Request] = field(default_factory=list)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A server on a free port of this machine, in a thread of its own."""
    receiver, started, loop = Receiver(), threading.Event(), asyncio.new_event_loop()
    stopped = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        received = Request(request.method, request.path_qs, dict(request.headers), await request.read())
        receiver.got.append(received)
        await asyncio.sleep(receiver.delay)
        location = {"Location": "/elsewhere"} if 300 <= receiver.status < 400 else {}
        return web.Response(status=receiver.status, headers=location)

    async def serve() -> None:
        application = web.Application(client_max_size=2**30)
        application.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        started.set()
        await stopped.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(60)
    try:
        yield receiver
    finally:
        loop.call_soon_threadsafe(stopped.set)
        thread.join(60)
        loop.close()

"""The task API on a free port of this machine: in this process for speed, or as the real command."""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from service_tools import TinyEngine

from acestep_xl.runner.graph import Graph
from acestep_xl.service.engine.protocol import Engine
from acestep_xl.service.http.app import build_app
from acestep_xl.service.http.server import bind
from acestep_xl.service.queue.tasks import Tasks
from acestep_xl.service.settings import ServiceSettings

START_SECONDS = 60


@dataclass
class Local:
    """A server in this process with a client."""

    url: str
    client: aiohttp.ClientSession
    runner: web.AppRunner

    async def send(self, *tasks: Any, key: str | None = None, path: str = "/v1") -> tuple[int, dict[str, Any]]:
        """POST an array of tasks: the status and the answer."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        async with self.client.post(self.url + path, json=list(tasks), headers=headers) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str, **headers: str) -> tuple[int, Any, Any]:
        """GET a path: status, headers and body."""
        async with self.client.get(self.url + path, headers=headers) as answer:
            return answer.status, answer.headers, await answer.read()

    @property
    def socket_url(self) -> str:
        return self.url.replace("http", "ws", 1) + "/v1"


@asynccontextmanager
async def serving(
    folder: Path, engine: Engine | None = None, logger: logging.Logger | None = None, port: int = 0, **settings: Any
) -> AsyncIterator[Local]:
    """The service on a folder. engine: default TinyEngine. logger: of the HTTP server. port: 0 for a free one.
    settings: of ServiceSettings."""
    listening = bind("127.0.0.1", port)
    chosen = ServiceSettings(port=listening.getsockname()[1], demo=True, **settings)
    engine = engine or TinyEngine(folder / "work")
    runner = web.AppRunner(
        build_app(chosen, lambda: Tasks.open(folder, engine, chosen)),
        access_log=None,
        shutdown_timeout=2,
        logger=logger or logging.getLogger("aiohttp.server"),
    )
    await runner.setup()
    await web.SockSite(runner, listening, backlog=512).start()
    try:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as client:
            yield Local(f"http://127.0.0.1:{chosen.port}", client, runner)
    finally:
        await runner.cleanup()


@contextmanager
def threaded(folder: Path, engine: Engine | None = None, **settings: Any) -> Iterator[Local]:
    """The same in a thread with its own event loop, to which its client belongs, for clients that block."""
    ready: queue.Queue[Local | BaseException] = queue.Queue()
    done = threading.Event()

    async def run() -> None:
        async with serving(folder, engine, **settings) as local:
            ready.put(local)
            while not done.is_set():
                await asyncio.sleep(0.02)

    def work() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:
            ready.put(error)
            raise

    thread = threading.Thread(target=work, name="service of a test")
    thread.start()
    local = ready.get(timeout=START_SECONDS)
    if isinstance(local, BaseException):
        raise local
    try:
        yield local
    finally:
        done.set()
        thread.join()


class Gate:
    """As the `act` of an engine: holds its runs until they are released."""

    def __init__(self) -> None:
        self._released = threading.Semaphore(0)

    def __call__(self, graph: Graph) -> None:
        assert self._released.acquire(timeout=120)

    def release(self, runs: int = 1) -> None:
        self._released.release(runs)


class Command:
    """`acestep-xl serve --demo` in its own process, as a context manager."""

    def __init__(self, folder: Path, arguments: Sequence[str] = (), key: str = "") -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "serve.log"
        self._environment = {**os.environ, "ACESTEP_XL_API_KEY": key, "OMP_NUM_THREADS": "1"}
        options = ["--demo", "--port", str(self.port), "--data", str(folder / "data"), *arguments]
        self._arguments = [sys.executable, "-m", "acestep_xl", "serve", *options]
        self.process: subprocess.Popen[bytes]

    def __enter__(self) -> Command:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._arguments, stdout=log, stderr=log, env=self._environment)
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/health", timeout=START_SECONDS).close()
                return self
            except OSError:  # also of a connection that was taken but not answered yet
                if self.process.poll() is not None or time.monotonic() > end:
                    self.stop()
                    raise AssertionError(self.log.read_text()) from None
                time.sleep(0.1)

    def stop(self) -> int:
        """Terminate it as a service manager does, and return its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()


def new_uuid() -> str:
    return str(uuid.uuid4())

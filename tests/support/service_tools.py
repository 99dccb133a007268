"""Parts for tests of the task API: requests, a fast engine, recordings, and a receiver of deliveries."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from acestep_xl.parameters.ids import SAMPLER
from acestep_xl.runner.graph import Graph
from acestep_xl.service.engine.in_process import HeadlessEngine
from acestep_xl.service.engine.protocol import OnProgress, ShouldStop, Stopped
from acestep_xl.service.schema.request import read_tasks
from acestep_xl.service.schema.task import Task

MODEL = "runware:ace-step@v1.5-xl-sft"


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test that is a coroutine in its own event loop."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 240))

    return run


async def until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        await asyncio.sleep(0.005)


def inference(**values: Any) -> Task:
    """A valid task with its own UUID. values: by the API's names."""
    return read(body(**values))


def body(**values: Any) -> dict[str, Any]:
    """The same, as the object that a client sends."""
    required = {
        "taskType": "audioInference",
        "taskUUID": str(uuid.uuid4()),
        "model": MODEL,
        "positivePrompt": "slow waltz",
    }
    return {**required, **values}


def read(task: dict[str, Any]) -> Task:
    (result,) = read_tasks([task])
    assert isinstance(result, Task), result
    return result


class TinyEngine(HeadlessEngine):
    """Saves a few bytes that depend on the graph's seed instead of making music.

    seconds: how long a run takes. act: called in each run with the graph; it may raise.
    """

    def __init__(self, folder: Path, seconds: float = 0.0, act: Callable[[Graph], object] | None = None) -> None:
        super().__init__(folder, [], "cpu")
        self._folder, self._seconds, self._act = folder, seconds, act
        self.graphs: list[Graph] = []
        self.closed = False

    def run(self, graph: Graph, on_progress: OnProgress, should_stop: ShouldStop) -> list[Path]:
        self.graphs.append(graph)
        end = time.monotonic() + self._seconds
        while (left := end - time.monotonic()) > 0:
            if should_stop():
                raise Stopped
            on_progress(1 - left / self._seconds)
            time.sleep(min(left, 0.01))
        if should_stop():
            raise Stopped
        if self._act is not None:
            self._act(graph)
        path = self._folder / "output" / "song_00001_.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(audio_bytes(seed_of(graph)))
        return [path]

    def close(self) -> None:
        self.closed = True


def seed_of(graph: Graph) -> int:
    return next(call.inputs["seed"] for call in graph.values() if call.class_type == SAMPLER)


def audio_bytes(seed: int) -> bytes:
    """What TinyEngine saves."""
    return f"seed {seed} ".encode() + hashlib.sha256(str(seed).encode()).digest() * 8


class FakeRecordings:
    """Recordings in memory, written to the folder when used. files: data or error by UUID or URL."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, bytes | Exception] = {}

    async def store(self, request: Any) -> dict[str, Any]:
        raise AssertionError("these tests upload nothing")

    async def fetch(self, url: str) -> Path:
        data = self.files[url]
        if isinstance(data, Exception):
            raise data
        return self._write(data)

    def find(self, media_uuid: str) -> Path | None:
        data = self.files.get(media_uuid)
        return self._write(data) if isinstance(data, bytes) else None

    def clean(self) -> None:
        """Delete nothing."""

    def move_times(self, seconds: float) -> None:
        """Nothing expires."""

    def _write(self, data: bytes) -> Path:
        path = self.folder / "media" / f"{hashlib.sha256(data).hexdigest()[:16]}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path


class Receiver:
    """A client's server. calls: (method, path, body, content type, time), in order.

    answers: the status by path, or a function that returns it for the number of calls so far. files: the data by path.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, bytes, str, float]] = []
        self.answers: dict[str, int | Callable[[int], int]] = {}
        self.files: dict[str, bytes] = {}
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        data = await request.read()
        path = request.path
        self.calls.append((request.method, path, data, request.content_type, time.time()))
        status = self.answers.get(path, 200)
        if callable(status):
            status = status(sum(call[1] == path for call in self.calls))
        return web.Response(status=status, body=self.files.get(path))

    def bodies(self, path: str) -> list[dict[str, Any]]:
        return [json.loads(call[2]) for call in self.calls if call[1] == path]


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application(client_max_size=2**27)
    app.router.add_route("*", "/{rest:.*}", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runner.cleanup()

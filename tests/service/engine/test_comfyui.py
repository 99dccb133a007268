"""The engine that queues graphs in ComfyUI, against a fake ComfyUI."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from service_tools import inference

from acestep_xl.host.headless import HeadlessHost
from acestep_xl.parameters.ids import SAMPLER
from acestep_xl.runner.graph import Graph
from acestep_xl.service.engine import comfyui_run
from acestep_xl.service.engine.comfyui import SOURCES, ComfyEngine
from acestep_xl.service.engine.graph_builder import build_graph
from acestep_xl.service.engine.protocol import DiskFull, RunError, Stopped
from acestep_xl.service.http.server import bind


class FakeComfy:
    """ComfyUI's routes. script: a coroutine that runs once a prompt is queued."""

    def __init__(self, script: Callable[[FakeComfy], Any]) -> None:
        self.script = script
        self.prompt: dict[str, Any] = {}
        self.history: dict[str, Any] = {}
        self.queue: list[Any] = []
        self.posts: list[tuple[str, Any]] = []
        self.refusal: dict[str, Any] | None = None
        self.socket: web.WebSocketResponse | None = None
        self.cancelled = asyncio.Event()
        self.reported_end = False

    @property
    def prompt_id(self) -> str:
        return self.prompt["prompt_id"]

    async def ws(self, request: web.Request) -> web.WebSocketResponse:
        self.socket = web.WebSocketResponse()
        await self.socket.prepare(request)
        await self.socket.send_json({"type": "status", "data": {"sid": request.query["clientId"]}})
        await self.socket.send_bytes(b"\0\0\0\1preview")
        async for _ in self.socket:
            pass
        return self.socket

    async def post_prompt(self, request: web.Request) -> web.Response:
        self.prompt = await request.json()
        if self.refusal is not None:
            return web.json_response(self.refusal, status=400)
        self.queue = [[0, self.prompt_id]]
        self.running = asyncio.ensure_future(self.script(self))
        return web.json_response({"prompt_id": self.prompt_id})

    async def post_other(self, request: web.Request) -> web.Response:
        self.posts.append((request.path, await request.json()))
        self.cancelled.set()
        return web.Response()

    async def get_queue(self, request: web.Request) -> web.Response:
        self.reported_end |= not self.queue
        return web.json_response({"queue_running": [], "queue_pending": self.queue})

    async def get_history(self, request: web.Request) -> web.Response:
        entry = {k: v for k, v in self.history.items() if k == request.match_info["id"]}
        self.reported_end |= bool(entry)
        return web.json_response(entry)

    async def send(self, kind: str, prompt_id: str | None = None, **data: Any) -> None:
        assert self.socket is not None
        await self.socket.send_json({"type": kind, "data": {"prompt_id": prompt_id or self.prompt_id, **data}})

    async def end(self, *messages: tuple[str, dict[str, Any]], files: tuple[str, ...] = ()) -> None:
        saved = [{"filename": name, "subfolder": "service", "type": "output"} for name in files]
        status = {"messages": [list(message) for message in messages]}
        self.queue = []
        self.history[self.prompt_id] = {"status": status, "outputs": {"9": {"audio": saved}}}
        if self.socket is not None and not self.socket.closed:
            await self.send(messages[-1][0], **messages[-1][1])

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/ws", self.ws),
                web.post("/prompt", self.post_prompt),
                web.post("/queue", self.post_other),
                web.post("/interrupt", self.post_other),
                web.get("/queue", self.get_queue),
                web.get("/history/{id}", self.get_history),
            ]
        )
        return app


@contextmanager
def running(fake: FakeComfy, delay: float = 0.0) -> Iterator[str]:
    """The URL of a fake that starts to listen after a delay."""
    listening = bind("127.0.0.1", 0)
    port = listening.getsockname()[1]
    done = threading.Event()

    async def serve() -> None:
        runner = web.AppRunner(fake.app(), shutdown_timeout=0.2)
        await runner.setup()
        await asyncio.sleep(delay)
        await web.TCPSite(runner, "127.0.0.1", port).start()
        while not done.is_set():
            await asyncio.sleep(0.02)
        await runner.cleanup()

    listening.close()
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        done.set()
        thread.join()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comfyui_run, "POLL_SECONDS", 0.1)


def engine_of(url: str, folder: Path) -> ComfyEngine:
    return ComfyEngine(url, HeadlessHost([], folder / "output", device="cpu"))


def graph_of(engine: ComfyEngine) -> Graph:
    return build_graph(inference(), seed=3, prefix="service/song", table=engine.table(), demo=True)


def run(fake: FakeComfy, folder: Path, stop: Callable[[], bool] = bool, delay: float = 0.0) -> tuple[Any, list[float]]:
    shares: list[float] = []
    with running(fake, delay) as url:
        engine = engine_of(url, folder)
        return engine.run(graph_of(engine), shares.append, stop), shares


def test_progress_and_files(tmp_path: Path) -> None:
    async def script(fake: FakeComfy) -> None:
        graph = fake.prompt["prompt"]
        sampler = next(key for key, node in graph.items() if node["class_type"] == SAMPLER)
        assert graph[sampler]["inputs"]["seed"] == 3
        await fake.send("execution_cached", nodes=["unknown", next(iter(graph))])
        for step in range(5):
            await fake.send(
                "progress_state", nodes={sampler: {"value": step, "max": 4}, "unknown": {"value": 1, "max": 1}}
            )
            await fake.send("progress_state", prompt_id="another", nodes={sampler: {"value": 4, "max": 4}})
        await fake.end(("execution_success", {}), files=("song_00001_.mp3",))

    files, shares = run(FakeComfy(script), tmp_path)
    assert files == [tmp_path / "output" / "service" / "song_00001_.mp3"]
    assert shares == sorted(shares) and 0 < shares[0] < 0.2 and 0.8 < shares[-1] <= 1 and len(set(shares)) == 5


def test_a_server_that_is_still_starting_is_waited_for(tmp_path: Path) -> None:
    async def script(fake: FakeComfy) -> None:
        await fake.end(("execution_success", {}), files=("a.mp3",))

    assert run(FakeComfy(script), tmp_path, delay=0.5)[0]


def test_a_lost_socket_loses_no_result(tmp_path: Path) -> None:
    async def script(fake: FakeComfy) -> None:
        assert fake.socket is not None
        await fake.socket.close()
        await asyncio.sleep(0.4)
        await fake.end(("execution_success", {}), files=("a.mp3",))

    assert run(FakeComfy(script), tmp_path)[0]


@pytest.mark.parametrize(
    ("messages", "expected", "message"),
    [
        (
            [("execution_error", {"node_type": "AceStepXLCover", "exception_type": "ValueError",
                                  "exception_message": "too short\n"})],
            RunError,
            "AceStepXLCover: ValueError: too short",
        ),
        (
            [("execution_error", {"node_type": "S", "exception_type": "torch.OutOfMemoryError",
                                  "exception_message": "x"})],
            RunError,
            "S: OutOfMemoryError: x",
        ),
        (
            [("execution_error", {"node_type": "S", "exception_type": "OSError",
                                  "exception_message": "[Errno 28] No space left on device"})],
            DiskFull,
            "No space left",
        ),
        ([("execution_interrupted", {})], RunError, "interrupted in ComfyUI"),
    ],
)  # fmt: skip
def test_failed_runs(tmp_path: Path, messages: Any, expected: type[Exception], message: str) -> None:
    async def script(fake: FakeComfy) -> None:
        await fake.end(("execution_start", {}), *messages)

    with pytest.raises(expected, match=message):
        run(FakeComfy(script), tmp_path)


def test_a_graph_that_comfyui_refuses(tmp_path: Path) -> None:
    async def script(fake: FakeComfy) -> None: ...

    fake = FakeComfy(script)
    fake.refusal = {"error": {"message": "Prompt outputs failed validation"}, "node_errors": {}}
    with pytest.raises(RunError, match="failed validation"):
        run(fake, tmp_path)


def test_a_stop_removes_the_prompt_or_interrupts_it(tmp_path: Path) -> None:
    stop = threading.Event()

    async def script(fake: FakeComfy) -> None:
        stop.set()
        await fake.cancelled.wait()
        await asyncio.sleep(0.1)
        await fake.end(("execution_interrupted", {}))

    fake = FakeComfy(script)
    with pytest.raises(Stopped):
        run(fake, tmp_path, stop.is_set)
    assert fake.posts == [("/queue", {"delete": [fake.prompt_id]}), ("/interrupt", {"prompt_id": fake.prompt_id})]


@pytest.mark.parametrize("stopped", [True, False])
def test_a_prompt_that_was_removed(tmp_path: Path, stopped: bool) -> None:
    stop = threading.Event()

    async def script(fake: FakeComfy) -> None:
        if stopped:
            stop.set()
        fake.queue = []

    with pytest.raises(Stopped if stopped else RunError, match=None if stopped else "removed from"):
        run(FakeComfy(script), tmp_path, stop.is_set)


@pytest.mark.parametrize("removed", [True, False])
def test_a_stop_counts_even_while_comfyui_answers(tmp_path: Path, removed: bool) -> None:
    """The stop is requested at the moment when ComfyUI reports the end."""

    async def script(fake: FakeComfy) -> None:
        if removed:
            fake.queue = []
        else:
            await fake.end(("execution_interrupted", {}))

    fake = FakeComfy(script)
    with pytest.raises(Stopped):
        run(fake, tmp_path, lambda: fake.reported_end)
    assert fake.posts == []


def test_the_node_lists_an_imported_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "one.wav"
    source.write_bytes(b"RIFF")
    engine = engine_of("http://127.0.0.1:9", tmp_path)
    name = engine.import_source(source)
    assert name == f"{SOURCES}/one.wav" and (tmp_path / "input" / name).read_bytes() == b"RIFF"
    node = engine.table().spec("AceStepXLLoadAudio")
    assert node is not None and name in node.inputs["audio"].choices
    engine.close()
    assert not (tmp_path / "input" / SOURCES).exists() and engine.device == "cpu"

"""Webhook calls that carry audio, which is read from its file while it is sent."""

from __future__ import annotations

import asyncio
import base64
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from service_tools import TinyEngine, in_loop, inference, receiving, until
from task_queue import open_tasks, run_task

from acestep_xl.runner.graph import Graph
from acestep_xl.service.engine.protocol import OnProgress, ShouldStop

BYTES = 6 * 2**20
CALLS = 12


class LoudEngine(TinyEngine):
    """Saves large files."""

    def run(self, graph: Graph, on_progress: OnProgress, should_stop: ShouldStop) -> list[Path]:
        (path,) = super().run(graph, on_progress, should_stop)
        path.write_bytes(path.read_bytes().ljust(BYTES, b"\x55"))
        return [path]


@asynccontextmanager
async def hanging() -> AsyncIterator[tuple[str, list[bytes]]]:
    """The URL of a server that reads the head of a request and nothing else, and the heads so far."""
    heads: list[bytes] = []
    end = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        await end.wait()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook", heads
    finally:
        end.set()
        server.close()


@in_loop
async def test_calls_with_audio_to_hanging_receivers_take_little_memory(tmp_path: Path) -> None:
    async with hanging() as (url, heads), open_tasks(tmp_path, LoudEngine(tmp_path / "work")) as tasks:
        tracemalloc.start()
        try:
            await tasks.submit([inference(outputType="base64Data", webhookURL=url) for _ in range(CALLS)])
            await until(lambda: len(heads) >= CALLS, seconds=60)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 4 * BYTES, "one file is written by the engine; no call holds one"


@in_loop
async def test_a_call_with_audio_is_complete_and_has_a_length(tmp_path: Path) -> None:
    async with receiving() as receiver, open_tasks(tmp_path, LoudEngine(tmp_path / "work")) as tasks:
        task = inference(outputType="dataURI", webhookURL=f"{receiver.url}/hook")
        state = await run_task(tasks, task)
        await until(lambda: receiver.calls, seconds=60)
        body = json.loads(receiver.calls[0][2])
        audio = body["audioDataURI"].removeprefix("data:audio/mpeg;base64,")
        file = await tasks.file(state.results[0]["audioUUID"])
        assert file is not None and base64.b64decode(audio, validate=True) == file[0].read_bytes()

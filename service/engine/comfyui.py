"""The engine inside ComfyUI: each graph goes through ComfyUI's own queue, so that both never compute at once.

It uses ComfyUI's HTTP API, as its editor does: POST /prompt, the WebSocket /ws, GET /history, POST /interrupt.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp

from ...host import current_host
from ...host.protocol import Host
from ...runner.api_format import to_api
from ...runner.graph import Graph
from ...runner.node_table import NodeTable
from .in_process import WEIGHTS
from .protocol import DiskFull, OnProgress, RunError, ShouldStop, Stopped, table_on

LISTEN_SECONDS = 1.0  # between two looks at whether to stop
START_SECONDS = 120.0  # ComfyUI may still be starting when the first task is taken from the queue
SOURCES = "acestep-xl"  # folder of sources in ComfyUI's input folder
NO_SPACE = "No space left on device"
ENDS = ("execution_success", "execution_error", "execution_interrupted")


class ComfyEngine:
    """Runs graphs in the ComfyUI at `url`. host: its folders and device; None for the host that is current."""

    def __init__(self, url: str, host: Host | None = None) -> None:
        self._url = url
        self._host = host or current_host()
        self.device = str(self._host.compute_device())

    def table(self) -> NodeTable:
        return table_on(self._host)

    def take_in(self, source: Path) -> str:
        folder = self._host.input_directory() / SOURCES
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copyfile(source, folder / source.name)
        return f"{SOURCES}/{source.name}"

    def run(self, graph: Graph, on_progress: OnProgress, should_stop: ShouldStop) -> list[Path]:
        return asyncio.run(self._run(graph, on_progress, should_stop))

    def close(self) -> None:
        """ComfyUI keeps its models and decides when they go."""
        shutil.rmtree(self._host.input_directory() / SOURCES, ignore_errors=True)

    async def _run(self, graph: Graph, on_progress: OnProgress, should_stop: ShouldStop) -> list[Path]:
        # The server's own certificate names other hosts than this machine.
        connector = aiohttp.TCPConnector(ssl=False)
        async with aiohttp.ClientSession(self._url + "/", connector=connector) as comfy:
            run = _Run(comfy, graph, on_progress, should_stop)
            entry = await run.entry()
        return [self._path(told) for said in entry["outputs"].values() for told in said.get("audio", ())]

    def _path(self, told: dict[str, str]) -> Path:
        return self._host.output_directory() / told["subfolder"] / told["filename"]


class _Run:
    """One graph on its way through the queue."""

    def __init__(
        self, comfy: aiohttp.ClientSession, graph: Graph, on_progress: OnProgress, should_stop: ShouldStop
    ) -> None:
        self._comfy, self._graph, self._tell, self._should_stop = comfy, graph, on_progress, should_stop
        self._weights = {node: WEIGHTS.get(call.class_type, 1.0) for node, call in graph.items()}
        self._done = dict.fromkeys(graph, 0.0)  # share of each node
        self._client = uuid.uuid4().hex
        self._prompt = str(uuid.uuid4())
        self._stopping = False

    async def entry(self) -> dict[str, Any]:
        """What the history says of the graph when it has run. Raises Stopped, RunError, and DiskFull."""
        async with await self._connect() as socket:
            await self._queue()
            while True:
                if self._should_stop() and not self._stopping:
                    await self._stop()
                kind = await self._listen(socket)
                if kind is None or kind in ENDS:
                    found = await self._history()
                    if found is not None:
                        return self._judge(found)
                    if kind is None and not await self._known():
                        raise self._lost()
                if socket.closed:
                    await asyncio.sleep(LISTEN_SECONDS)

    async def _connect(self) -> aiohttp.ClientWebSocketResponse[bool]:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                return await self._comfy.ws_connect(f"ws?clientId={self._client}", max_msg_size=0)
            except aiohttp.ClientError as error:
                if self._should_stop():
                    raise Stopped from error
                if time.monotonic() > end:
                    raise RunError("", "ConnectionError", f"ComfyUI cannot be reached: {error}") from error
                await asyncio.sleep(LISTEN_SECONDS)

    async def _queue(self) -> None:
        body = {"prompt": to_api(self._graph), "prompt_id": self._prompt, "client_id": self._client}
        async with self._comfy.post("prompt", json=body) as answer:
            said = await answer.json()
        if answer.status != 200:
            raise RunError("", "ValueError", f"ComfyUI refused the workflow: {json.dumps(said)[:2000]}")

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> str | None:
        """The kind of the next message, of which progress is told; None after a while without any."""
        try:
            message = await socket.receive(LISTEN_SECONDS)
        except asyncio.TimeoutError:
            return None
        if message.type != aiohttp.WSMsgType.TEXT:
            return None if socket.closed else ""
        said = json.loads(message.data)
        data = said.get("data", {})
        if data.get("prompt_id") != self._prompt:
            return ""
        if reader := READERS.get(said["type"]):
            reader(self._done, data)
            self._tell(self._share())
        return said["type"]

    def _share(self) -> float:
        done = sum(self._weights[node] * share for node, share in self._done.items())
        return done / sum(self._weights.values())

    async def _stop(self) -> None:
        """Off the queue, or at its next step where it runs already."""
        self._stopping = True
        async with self._comfy.post("queue", json={"delete": [self._prompt]}):
            pass
        async with self._comfy.post("interrupt", json={"prompt_id": self._prompt}):
            pass

    async def _history(self) -> dict[str, Any] | None:
        async with self._comfy.get(f"history/{self._prompt}") as answer:
            return (await answer.json()).get(self._prompt)

    async def _known(self) -> bool:
        """Whether it waits or runs, or has ended meanwhile."""
        async with self._comfy.get("queue") as answer:
            queue = await answer.json()
        waits = any(item[1] == self._prompt for item in [*queue["queue_running"], *queue["queue_pending"]])
        return waits or await self._history() is not None

    def _asked_to_stop(self) -> bool:
        """Also when ComfyUI's answer came before this run had heard of the wish."""
        return self._stopping or self._should_stop()

    def _lost(self) -> Stopped | RunError:
        if self._asked_to_stop():
            return Stopped()
        return RunError("", "Removed", "it was taken off ComfyUI's queue")

    def _judge(self, entry: dict[str, Any]) -> dict[str, Any]:
        """The entry, or what went wrong."""
        said = dict(entry["status"]["messages"])
        if "execution_interrupted" in said:
            raise Stopped() if self._asked_to_stop() else RunError("", "Interrupted", "it was interrupted in ComfyUI")
        if failed := said.get("execution_error"):
            if NO_SPACE in failed["exception_message"]:
                raise DiskFull(f"no room for the result: {failed['exception_message'].strip()}")
            kind = failed["exception_type"].rpartition(".")[2]
            raise RunError(failed["node_type"], kind, failed["exception_message"].strip())
        return entry


def _read_cached(done: dict[str, float], data: dict[str, Any]) -> None:
    done.update(dict.fromkeys(set(data["nodes"]) & set(done), 1.0))


def _read_progress(done: dict[str, float], data: dict[str, Any]) -> None:
    for node, state in data["nodes"].items():
        if node in done and state["max"]:
            done[node] = min(state["value"] / state["max"], 1.0)


READERS: dict[str, Callable[[dict[str, float], dict[str, Any]], None]] = {
    "execution_cached": _read_cached,
    "progress_state": _read_progress,
}

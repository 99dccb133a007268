"""One graph in ComfyUI's queue, by the HTTP API that its editor uses: POST /prompt, the WebSocket /ws, GET /history,
GET /queue, POST /queue and POST /interrupt."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import aiohttp

from ...runner.graph import Graph
from ...runner.workflow.api_format import to_api
from .progress import RunProgress
from .protocol import NO_SPACE, DiskFull, OnProgress, RunError, ShouldStop, Stopped

POLL_SECONDS = 1.0  # between two checks of whether to stop
START_SECONDS = 120.0  # ComfyUI may still be starting when the first job is claimed
FINAL_EVENTS = ("execution_success", "execution_error", "execution_interrupted")


class ComfyRun:
    """Runs a graph in the ComfyUI that the session connects to."""

    def __init__(
        self, session: aiohttp.ClientSession, graph: Graph, on_progress: OnProgress, should_stop: ShouldStop
    ) -> None:
        self._session, self._graph, self._should_stop = session, graph, should_stop
        self._progress = RunProgress(graph, graph, on_progress)
        self._client = uuid.uuid4().hex
        self._prompt = str(uuid.uuid4())
        self._stopping = False

    async def run(self) -> dict[str, Any]:
        """Queue the graph, wait until it has run, and return its outputs by node. Raises Stopped, RunError and
        DiskFull."""
        async with await self._connect() as socket:
            await self._submit()
            while True:
                if self._should_stop() and not self._stopping:
                    await self._stop()
                event = await self._receive(socket)
                if event is None or event in FINAL_EVENTS:
                    entry = await self._history_entry()
                    if entry is not None:
                        self._raise_failure(entry)
                        return entry["outputs"]
                    if event is None and not await self._exists():
                        raise self._removed()
                if socket.closed:
                    await asyncio.sleep(POLL_SECONDS)

    async def _connect(self) -> aiohttp.ClientWebSocketResponse[bool]:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return await self._session.ws_connect(f"ws?clientId={self._client}", max_msg_size=0)
            except aiohttp.ClientError as error:
                if self._should_stop():
                    raise Stopped from error
                if time.monotonic() > deadline:
                    raise RunError("", "ConnectionError", f"ComfyUI cannot be reached: {error}") from error
                await asyncio.sleep(POLL_SECONDS)

    async def _submit(self) -> None:
        body = {"prompt": to_api(self._graph), "prompt_id": self._prompt, "client_id": self._client}
        async with self._session.post("prompt", json=body) as response:
            answer = await response.json()
        if NO_SPACE in json.dumps(answer):
            raise DiskFull("no room for the result in ComfyUI's output folder")
        if response.status != 200:
            raise RunError("", "ValueError", f"ComfyUI refused the workflow: {json.dumps(answer)[:2000]}")

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> str | None:
        """The type of the next message, "" for one about something else, None if there was none for a while."""
        try:
            frame = await socket.receive(POLL_SECONDS)
        except asyncio.TimeoutError:
            return None
        if frame.type != aiohttp.WSMsgType.TEXT:
            return None if socket.closed else ""
        message = json.loads(frame.data)
        data = message.get("data", {})
        if data.get("prompt_id") != self._prompt:
            return ""
        if read_shares := PROGRESS_READERS.get(message["type"]):
            self._progress.update(read_shares(data))
        return message["type"]

    async def _stop(self) -> None:
        """Remove the graph from the queue; if it is running, ComfyUI interrupts it at the next step."""
        self._stopping = True
        async with self._session.post("queue", json={"delete": [self._prompt]}):
            pass
        async with self._session.post("interrupt", json={"prompt_id": self._prompt}):
            pass

    async def _history_entry(self) -> dict[str, Any] | None:
        async with self._session.get(f"history/{self._prompt}") as response:
            return (await response.json()).get(self._prompt)

    async def _exists(self) -> bool:
        """Whether the graph is queued, running, or has just ended."""
        async with self._session.get("queue") as response:
            queue = await response.json()
        queued = any(item[1] == self._prompt for item in [*queue["queue_running"], *queue["queue_pending"]])
        return queued or await self._history_entry() is not None

    def _was_stopped(self) -> bool:
        """Also true if the request to stop came while ComfyUI was answering."""
        return self._stopping or self._should_stop()

    def _removed(self) -> Stopped | RunError:
        return Stopped() if self._was_stopped() else RunError("", "Removed", "it was removed from ComfyUI's queue")

    def _raise_failure(self, entry: dict[str, Any]) -> None:
        """Raise what went wrong according to the history entry, if anything did."""
        messages = dict(entry["status"]["messages"])
        if "execution_interrupted" in messages:
            raise Stopped() if self._was_stopped() else RunError("", "Interrupted", "it was interrupted in ComfyUI")
        if error := messages.get("execution_error"):
            reason = error["exception_message"].strip()
            if NO_SPACE in reason:
                raise DiskFull(f"no room for the result: {reason}")
            raise RunError(error["node_type"], error["exception_type"].rpartition(".")[2], reason)


def _cached_nodes(data: dict[str, Any]) -> dict[str, float]:
    return dict.fromkeys(data["nodes"], 1.0)


def _node_shares(data: dict[str, Any]) -> dict[str, float]:
    return {node: min(state["value"] / state["max"], 1.0) for node, state in data["nodes"].items() if state["max"]}


PROGRESS_READERS: dict[str, Callable[[dict[str, Any]], dict[str, float]]] = {
    "execution_cached": _cached_nodes,
    "progress_state": _node_shares,
}

"""What a browser receives while ComfyUI runs a graph: WebSocket messages, hints on nodes and previews."""

from __future__ import annotations

import asyncio
import io
import struct
import uuid
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from comfy_server import ComfyServer
from PIL import Image

PREVIEW = 1  # ComfyUI's type of binary message
HINTS = "acestep_xl.hints"


@dataclass
class Received:
    """In order: messages as (kind, data), and previews."""

    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    previews: list[Image.Image] = field(default_factory=list)

    def ran(self) -> set[str]:
        """Nodes that were executed, not taken from the cache."""
        return {data["node"] for kind, data in self.messages if kind == "executing" and data.get("node")}

    def hints(self) -> dict[str, list[str]]:
        """The last hints on every node that had any or had them removed."""
        return {data["node"]: data["hints"] for kind, data in self.messages if kind == HINTS}

    def progress(self, node: str) -> list[tuple[float, float]]:
        updates = [data for kind, data in self.messages if kind == "progress" and data["node"] == node]
        return [(update["value"], update["max"]) for update in updates]


def listen(
    server: ComfyServer,
    graph: dict[str, Any],
    interrupt_at: str | None = None,
    preview_method: str = "default",
    workflow: str = "a-workflow",
) -> Received:
    """Run a graph and collect everything until it ends.

    interrupt_at: a node to interrupt at its first progress. preview_method: the editor's setting. workflow: the id of
    the editor's workflow.
    """
    extra = {"preview_method": preview_method, "extra_pnginfo": {"workflow": {"id": workflow}}}
    return asyncio.run(_listen(server, graph, interrupt_at, extra))


def overhear(server: ComfyServer, graph: dict[str, Any]) -> Received:
    """Run a graph that names no client, and collect what the browser of somebody else receives."""
    return asyncio.run(_overhear(server, graph))


async def _overhear(server: ComfyServer, graph: dict[str, Any]) -> Received:
    received = Received()
    async with aiohttp.ClientSession(server.url) as session, session.ws_connect("/ws?clientId=somebody") as socket:
        await asyncio.to_thread(server.run, graph)
        while True:
            try:
                message = await socket.receive(1)
            except asyncio.TimeoutError:
                return received
            if message.type == aiohttp.WSMsgType.TEXT:
                received.messages.append((message.json()["type"], message.json()["data"]))


async def _listen(
    server: ComfyServer, graph: dict[str, Any], interrupt_at: str | None, extra: dict[str, Any]
) -> Received:
    received, client = Received(), uuid.uuid4().hex
    body = {"prompt": graph, "client_id": client, "extra_data": extra}
    async with aiohttp.ClientSession(server.url) as session, session.ws_connect(f"/ws?clientId={client}") as socket:
        async with session.post("/prompt", json=body) as response:
            assert response.status == 200, await response.text()
        async for message in socket:
            if message.type == aiohttp.WSMsgType.BINARY:
                _collect_binary(message.data, received)
                continue
            content = message.json()
            kind, data = content["type"], content["data"]
            received.messages.append((kind, data))
            if kind == "progress" and data["node"] == interrupt_at and data["value"] < data["max"]:
                interrupt_at = None
                async with session.post("/interrupt", json={}):
                    pass
            if kind in ("execution_success", "execution_error", "execution_interrupted"):
                return received
    raise AssertionError("the socket was closed before the run ended")


def _collect_binary(data: bytes, received: Received) -> None:
    (kind,) = struct.unpack(">I", data[:4])
    if kind == PREVIEW:
        received.previews.append(Image.open(io.BytesIO(data[8:])))

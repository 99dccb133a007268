"""What a browser hears while ComfyUI runs a graph: the messages of its WebSocket, texts and pictures too."""

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

PICTURE, TEXT = 1, 3  # ComfyUI's numbers for binary messages


@dataclass
class Heard:
    """Messages in order as (kind, data), texts on nodes in order as (node, text), and the pictures."""

    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    pictures: list[Image.Image] = field(default_factory=list)

    def ran(self) -> set[str]:
        """Nodes that were executed, not taken from the cache."""
        return {data["node"] for kind, data in self.messages if kind == "executing" and data.get("node")}

    def progress(self, node: str) -> list[tuple[float, float]]:
        found = [data for kind, data in self.messages if kind == "progress" and data["node"] == node]
        return [(data["value"], data["max"]) for data in found]


def listen(
    server: ComfyServer, graph: dict[str, Any], interrupt_at: str | None = None, preview_method: str = "default"
) -> Heard:
    """Run a graph and hear everything until it ends.

    interrupt_at: a node that is interrupted at its first progress. preview_method: the editor's setting.
    """
    return asyncio.run(_listen(server, graph, interrupt_at, preview_method))


async def _listen(server: ComfyServer, graph: dict[str, Any], interrupt_at: str | None, preview_method: str) -> Heard:
    heard, client = Heard(), uuid.uuid4().hex
    asked = {"prompt": graph, "client_id": client, "extra_data": {"preview_method": preview_method}}
    async with aiohttp.ClientSession(server.url) as session, session.ws_connect(f"/ws?clientId={client}") as socket:
        async with session.post("/prompt", json=asked) as answer:
            assert answer.status == 200, await answer.text()
        async for message in socket:
            if message.type == aiohttp.WSMsgType.BINARY:
                _binary(message.data, heard)
                continue
            told = message.json()
            kind, data = told["type"], told["data"]
            heard.messages.append((kind, data))
            if kind == "progress" and data["node"] == interrupt_at and data["value"] < data["max"]:
                interrupt_at = None
                async with session.post("/interrupt", json={}):
                    pass
            if kind in ("execution_success", "execution_error", "execution_interrupted"):
                return heard
    raise AssertionError("the socket was closed before the run ended")


def _binary(data: bytes, heard: Heard) -> None:
    (kind,) = struct.unpack(">I", data[:4])
    if kind == PICTURE:
        heard.pictures.append(Image.open(io.BytesIO(data[8:])))
    if kind == TEXT:
        (length,) = struct.unpack(">I", data[4:8])
        heard.texts.append((data[8 : 8 + length].decode(), data[8 + length :].decode()))

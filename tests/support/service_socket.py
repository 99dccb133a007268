"""A client of the task API over a WebSocket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import WSMsgType
from local_service import Local

KEY = "a-key-of-some-length"


class Socket:
    """A client of the server."""

    def __init__(self, raw: aiohttp.ClientWebSocketResponse[bool]) -> None:
        self.raw = raw

    async def send(self, *tasks: Any) -> None:
        await self.raw.send_str(json.dumps(list(tasks)))

    async def receive(self, seconds: float = 10) -> dict[str, Any]:
        message = await self.raw.receive(seconds)
        assert message.type == WSMsgType.TEXT, message
        return json.loads(message.data)

    async def ask(self, *tasks: Any) -> dict[str, Any]:
        await self.send(*tasks)
        return await self.receive()

    async def is_silent(self, seconds: float = 0.2) -> bool:
        try:
            await self.raw.receive(seconds)
        except asyncio.TimeoutError:
            return True
        return False

    async def login(self, **parameters: Any) -> str:
        answer = await self.ask({"taskType": "authentication", "apiKey": KEY, **parameters})
        (entry,) = answer["data"]
        assert entry["taskType"] == "authentication"
        return entry["connectionSessionUUID"]


@asynccontextmanager
async def socket(local: Local) -> AsyncIterator[Socket]:
    async with local.client.ws_connect(local.socket_url) as raw:
        yield Socket(raw)


def poll(task: dict[str, Any]) -> dict[str, Any]:
    return {"taskType": "getResponse", "taskUUID": task["taskUUID"]}

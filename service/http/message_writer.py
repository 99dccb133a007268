"""Sends messages over a WebSocket; long ones as several frames, so that they need not be in memory as a whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from ..queue.answer_parts import Part, PartReader, split

TEXT, CONTINUATION, FINAL = 0x1, 0x0, 0x80


class MessageWriter:
    """request: the handshake, whose transport the frames go to. Other threads of control may send pings and close
    frames in between, which the protocol allows, but no other messages."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request, reader: PartReader) -> None:
        self._socket, self._request, self._reader = socket, request, reader
        self._turn = asyncio.Lock()

    async def send(self, message: dict[str, Any]) -> bool:
        """Send a message that may hold audio. False if the client is gone."""
        parts = split(message)
        try:
            async with self._turn:
                if len(parts) == 1:
                    await self._socket.send_str(json.dumps(message))
                else:
                    await self._send_fragments(parts)
        except (ConnectionError, RuntimeError):  # aiohttp raises either, depending on when the client left
            return False
        return True

    async def _send_fragments(self, parts: Sequence[Part]) -> None:
        """One frame for each piece (RFC 6455, section 5.4), which aiohttp has no function for."""
        opcode = TEXT
        try:
            async for piece in self._reader.pieces(parts):
                await self._write(opcode, piece)
                opcode = CONTINUATION
        except OSError as error:
            if not isinstance(error, ConnectionError) and self._request.transport is not None:
                self._request.transport.abort()  # half a message cannot be taken back
            raise ConnectionResetError("the audio of a result cannot be read") from error
        await self._write(CONTINUATION | FINAL, b"")

    async def _write(self, opcode: int, payload: bytes) -> None:
        transport = self._request.transport
        if transport is None or self._socket.closed:
            raise ConnectionResetError("the client is gone")
        transport.write(frame_head(opcode, len(payload)) + payload)
        await self._request.writer.drain()


def frame_head(opcode: int, length: int) -> bytes:
    """The head of an unmasked frame (RFC 6455, section 5.2)."""
    if length < 126:
        return bytes([opcode, length])
    if length < 2**16:
        return bytes([opcode, 126]) + length.to_bytes(2, "big")
    return bytes([opcode, 127]) + length.to_bytes(8, "big")

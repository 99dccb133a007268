"""Frames of a WebSocket as hostile clients send them: unmasked, too long, unfinished, before the handshake ends."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from local_service import Local, serving
from service_tools import in_loop, until

from acestep_xl.service.http.byte_budget import ByteBudget
from acestep_xl.service.http.connection import UNAUTHENTICATED_BYTES
from acestep_xl.service.http.context import CONTEXT
from acestep_xl.service.http.frame_guard import FrameGuard
from acestep_xl.service.http.sessions import MAX_UNKNOWN

KEY = "a-key-of-some-length"
PING = json.dumps([{"taskType": "ping", "ping": True}]).encode()
TEXT, CONTINUATION, BINARY, CLOSE, PING_FRAME = 1, 0, 2, 8, 9
FINAL = 0x80
HANDSHAKE = (
    b"GET /v1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


def frame(first: int, payload: bytes = b"", length: int | None = None, mask: bool = True) -> bytes:
    """A frame as a client sends it, with a mask of zeros. length: announced, if not that of the payload."""
    size, bit = len(payload) if length is None else length, 0x80 if mask else 0
    if size < 126:
        head = bytes([first, bit | size])
    elif size < 2**16:
        head = bytes([first, bit | 126]) + struct.pack(">H", size)
    else:
        head = bytes([first, bit | 127]) + struct.pack(">Q", size)
    return head + (bytes(4) if mask else b"") + payload


class Raw:
    """A client that writes bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def receive(self) -> tuple[int, bytes]:
        """Opcode and payload of the next frame that is no ping."""
        while True:
            first, size = await asyncio.wait_for(self.reader.readexactly(2), 20)
            if size >= 126:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
            payload = await asyncio.wait_for(self.reader.readexactly(size), 20)
            if first & 0xF != PING_FRAME:
                return first & 0xF, payload

    async def close_code(self) -> int:
        opcode, payload = await self.receive()
        assert opcode == CLOSE, payload
        return int.from_bytes(payload[:2], "big")


@asynccontextmanager
async def raw(local: Local, key: str = "", early: bytes = b"", status: bytes = b"101") -> AsyncIterator[Raw]:
    """A connection after its handshake. early: sent together with it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(local.url.rpartition(":")[2]))
    authorization = f"Authorization: Bearer {key}\r\n".encode() if key else b""
    writer.write(HANDSHAKE + authorization + b"\r\n" + early)
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).split()[1] == status
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()


@in_loop
async def test_unmasked_frames_close_the_connection(tmp_path: Path) -> None:
    async with serving(tmp_path) as local:
        for first in (FINAL | TEXT, FINAL | PING_FRAME, TEXT):
            async with raw(local) as client:
                client.writer.write(frame(FINAL | TEXT, PING))
                assert b"pong" in (await client.receive())[1]
                client.writer.write(frame(first, PING, mask=False))
                assert await client.close_code() == 1002
        assert (await local.get("/health"))[0] == 200


@in_loop
async def test_a_message_in_many_frames_and_pieces_is_one(tmp_path: Path) -> None:
    async with serving(tmp_path) as local, raw(local) as client:
        pieces = [PING[start : start + 5] for start in range(0, len(PING), 5)]
        frames = [frame(CONTINUATION if index else TEXT, piece) for index, piece in enumerate(pieces)]
        for byte in b"".join([*frames, frame(FINAL | CONTINUATION)]):
            client.writer.write(bytes([byte]))
            await client.writer.drain()
        assert b"pong" in (await client.receive())[1]


@in_loop
async def test_clients_without_a_key_send_short_messages_only(tmp_path: Path) -> None:
    async with serving(tmp_path, api_keys=(KEY,)) as local:
        async with raw(local) as client:
            client.writer.write(frame(TEXT, length=UNAUTHENTICATED_BYTES + 1))
            assert await client.close_code() == 1009, "by its announced length"
        async with raw(local) as client:
            for _ in range(3):
                client.writer.write(frame(TEXT if _ == 0 else CONTINUATION, b" " * (UNAUTHENTICATED_BYTES // 2)))
            assert await client.close_code() == 1009, "in several frames"
        async with raw(local, KEY) as client:
            client.writer.write(frame(FINAL | TEXT, PING + b" " * 2 * UNAUTHENTICATED_BYTES))
            assert b"pong" in (await client.receive())[1]
        async with raw(local) as client:
            login = json.dumps([{"taskType": "authentication", "apiKey": KEY}]).encode()
            client.writer.write(frame(FINAL | TEXT, login))
            assert b"connectionSessionUUID" in (await client.receive())[1]
            client.writer.write(frame(FINAL | TEXT, PING + b" " * 2 * UNAUTHENTICATED_BYTES))
            assert b"pong" in (await client.receive())[1]


@in_loop
async def test_unfinished_messages_are_bounded_over_all_connections(tmp_path: Path) -> None:
    async with serving(tmp_path, media_mib=1) as local:
        context = local.runner.app[CONTEXT]
        most = context.settings.max_body_bytes
        async with raw(local) as first, raw(local) as second:
            first.writer.write(frame(TEXT, b" " * (most - 2**16), length=most - 2**15))
            await until(lambda: context.budget.used > most - 2**17)
            second.writer.write(frame(TEXT, b" " * 2**18))
            assert await second.close_code() == 1013, "try again later"
        await until(lambda: context.budget.used == 0)
        async with raw(local) as client:
            for _ in range(5):
                client.writer.write(frame(FINAL | TEXT, PING + b" " * (most // 2)))
                assert b"pong" in (await client.receive())[1]
            await until(lambda: context.budget.used == 0)


@in_loop
async def test_frames_before_the_handshake_is_answered_are_refused(tmp_path: Path) -> None:
    """The guard would not see them, and take what follows for something else."""
    async with serving(tmp_path) as local, raw(local, early=frame(TEXT, length=2**20), status=b"400"):
        assert (await local.get("/health"))[0] == 200


@in_loop
async def test_the_oldest_connection_without_a_key_gives_way(tmp_path: Path) -> None:
    async with serving(tmp_path, api_keys=(KEY,)) as local, AsyncExitStack() as stack:
        known = await stack.enter_async_context(raw(local, KEY))
        clients = [await stack.enter_async_context(raw(local)) for _ in range(MAX_UNKNOWN + 1)]
        assert await clients[0].close_code() == 1013
        for client in (known, clients[1], clients[-1]):
            client.writer.write(frame(FINAL | TEXT, PING))
            assert b"pong" in (await client.receive())[1]
    async with serving(tmp_path / "few", api_keys=(KEY,), max_websockets=2) as local, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(raw(local)) for _ in range(3)]
        assert await clients[0].close_code() == 1013, "also where there is no room at all"


class Recorder(asyncio.Protocol):
    def __init__(self) -> None:
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data


LENGTHS = st.lists(st.sampled_from([0, 1, 125, 126, 127, 1000, 70_000]), min_size=1, max_size=6)


@settings(deadline=None)
@given(LENGTHS, st.integers(1, 200), st.booleans())
def test_the_guard_counts_what_is_unfinished_in_any_pieces(lengths: list[int], size: int, finished: bool) -> None:
    budget, refused = ByteBudget(10**6, 10**6), []
    lease, recorder = budget.lease("client"), Recorder()
    guard = FrameGuard(recorder, lease, 10**6, lambda code, reason: refused.append(code))
    ends = [index == len(lengths) - 1 and finished for index in range(len(lengths))]
    frames = [
        frame((FINAL if end else 0) | (TEXT if index == 0 else CONTINUATION), bytes(length))
        for index, (length, end) in enumerate(zip(lengths, ends, strict=True))
    ]
    data = frame(FINAL | PING_FRAME, b"now").join(frames)
    size = max(size, len(data) // 1000)
    for start in range(0, len(data), size):
        guard.data_received(data[start : start + size])
    assert recorder.data == data and not refused and lease.size == sum(lengths)
    guard.message_handled()
    assert lease.size == (0 if finished else sum(lengths))


@pytest.mark.parametrize("length", [2**63, 2**64 - 1])
def test_lengths_beyond_any_memory_are_refused(length: int) -> None:
    refused: list[int] = []
    guard = FrameGuard(Recorder(), ByteBudget(9, 9).lease(""), 100, lambda code, reason: refused.append(code))
    guard.data_received(frame(FINAL | BINARY, length=length))
    guard.data_received(b"more")
    assert refused == [1009]

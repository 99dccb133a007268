"""Connections whose bytes take long to handle are read in small pieces, so that others get their turn in between."""

from __future__ import annotations

import asyncio
import logging
import time
import zlib
from pathlib import Path

import pytest
from local_service import serving
from service_tools import in_loop

from acestep_xl.service.http import request_log
from acestep_xl.service.http.paced import FIRST, LEAST, PacedProtocol

TOTAL = 2**20


async def sizes_read(seconds_per_byte: float) -> list[int]:
    """The sizes of the pieces in which a megabyte is read, whose handling takes so long."""
    sizes: list[int] = []
    done = asyncio.Event()

    class Spinning(PacedProtocol):
        def data_received(self, data: bytes) -> None:
            sizes.append(len(data))
            end = time.thread_time() + len(data) * seconds_per_byte
            while time.thread_time() < end:
                pass
            if sum(sizes) == TOTAL:
                done.set()

    server = await asyncio.get_running_loop().create_server(Spinning, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(bytes(TOTAL))
    await asyncio.wait_for(done.wait(), 120)
    writer.close()
    server.close()
    return sizes


@in_loop
async def test_expensive_bytes_are_read_in_small_pieces() -> None:
    expensive, cheap = await sizes_read(1e-6), await sizes_read(0)
    assert max(expensive) <= FIRST and sum(expensive) == TOTAL
    assert LEAST <= sorted(expensive)[len(expensive) // 2] <= 2000, "about a thousand bytes take a millisecond"
    assert len(cheap) < len(expensive) / 5 and max(cheap) > FIRST


@in_loop
async def test_a_compressed_body_that_is_damaged_leaves_one_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """aiohttp reads what is left of a refused body, and fails to."""
    caplog.set_level(logging.INFO)
    body = b"secret" + zlib.compress(bytes(10**6))
    head = "POST /v1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Encoding: deflate\r\n"
    async with serving(tmp_path, logger=request_log.request_logger()) as local:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(local.url.rpartition(":")[2]))
        writer.write(f"{head}Content-Length: {len(body) + 1}\r\n\r\n".encode())
        assert b" 415 " in await reader.readline()
        writer.write(body)
        await asyncio.sleep(0.5)
        writer.close()
    assert "Traceback" not in caplog.text and "secret" not in caplog.text

"""A protocol that takes no more from its connection at a time than what it handles quickly.

asyncio reads up to 256 KiB of each readable connection before any other gets its turn. Some bytes take a thousand times
as long to handle as others, such as chunks and frames of one byte, so a few connections could hold up all of them.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod

SLICE_SECONDS = 0.001  # of CPU time, in which what is read at a time is to be handled
LEAST, FIRST, MOST = 256, 2**14, 2**18  # bytes that are read at a time
_BUFFER = bytearray(MOST)  # of all connections: what is read is handled before the next one is


class PacedProtocol(asyncio.BufferedProtocol, ABC):
    """Calls `data_received` with pieces that are as long as took SLICE_SECONDS the last time."""

    _size = FIRST

    @abstractmethod
    def data_received(self, data: bytes) -> None:
        """Handle what was read."""

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(_BUFFER)[: self._size]

    def buffer_updated(self, nbytes: int) -> None:
        data, start = bytes(memoryview(_BUFFER)[:nbytes]), time.thread_time()
        self.data_received(data)
        seconds = max(time.thread_time() - start, 1e-6)
        self._size = min(max(int(nbytes * SLICE_SECONDS / seconds), LEAST), 2 * self._size, MOST)

"""Watches the frames of a WebSocket before aiohttp collects them.

aiohttp keeps an unfinished message of any length up to one limit, on each connection, and takes frames without a mask.
So the guard stands between the transport and aiohttp's protocol, counts what is unfinished, and closes the connection
in time (RFC 6455, sections 5.1 and 5.2).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

from aiohttp import WSCloseCode

from .byte_budget import BudgetSpent, Lease
from .paced import PacedProtocol

LENGTH_BYTES = {126: 2, 127: 8}  # of longer lengths, by the short one that announces them
MASK_BYTES = 4
CONTROL = 0x8  # opcodes from here on are of control frames


class FrameRefused(ValueError):  # noqa: N818 - names the condition
    """A frame that ends the connection, with the code of the close frame."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class FrameGuard(PacedProtocol):
    """Passes everything on to the protocol it stands before, until a frame is refused.

    limit: bytes of one message; it may change at any time. lease: takes the bytes of messages that are unfinished or
    not yet handled. refuse: called once, with the code and the reason.
    """

    def __init__(
        self, inner: asyncio.BaseProtocol, lease: Lease, limit: int, refuse: Callable[[int, str], None]
    ) -> None:
        self.limit = limit
        self._inner, self._lease, self._refuse = cast(asyncio.Protocol, inner), lease, refuse
        self._refused = False
        self._head = bytearray()  # of the current frame, while it is incomplete
        self._left = 0  # bytes of the current frame's payload that are still to come
        self._is_control = self._is_last = False
        self._message = 0  # bytes of the unfinished message
        self._finished: deque[int] = deque()  # bytes of messages that are not handled yet

    def message_handled(self) -> None:
        """The oldest finished message is no longer in memory."""
        if self._finished:
            self._finished.popleft()
            self._lease.resize(sum(self._finished) + self._message)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        try:
            self._watch(data)
            self._lease.resize(sum(self._finished) + self._message)
        except FrameRefused as error:
            self._stop(error.code, str(error))
        except BudgetSpent as error:
            self._stop(WSCloseCode.TRY_AGAIN_LATER, str(error))
        else:
            self._inner.data_received(data)

    def _stop(self, code: int, reason: str) -> None:
        self._refused = True
        self._refuse(code, reason)

    def _watch(self, data: bytes) -> None:
        position = 0
        while position < len(data):
            if not self._left:
                position = self._read_head(data, position)
                continue
            taken = min(self._left, len(data) - position)
            position += taken
            self._left -= taken
            if not self._is_control:
                self._message += taken
            if not self._left:
                self._end_frame()

    def _read_head(self, data: bytes, position: int) -> int:
        """Take bytes of a frame's head, up to its end. Returns the position after them."""
        size = 2
        if len(self._head) >= 2:
            size += LENGTH_BYTES.get(self._head[1] & 0x7F, 0) + MASK_BYTES
        taken = data[position : position + size - len(self._head)]
        self._head += taken
        if len(self._head) == 2 and not self._head[1] & 0x80:
            raise FrameRefused(WSCloseCode.PROTOCOL_ERROR, "clients have to mask their frames")
        if len(self._head) == size > 2:
            self._begin_frame(self._head)
            self._head.clear()
        return position + len(taken)

    def _begin_frame(self, head: bytearray) -> None:
        self._is_last, self._is_control = bool(head[0] & 0x80), head[0] & 0xF >= CONTROL
        short = head[1] & 0x7F
        self._left = int.from_bytes(head[2:-MASK_BYTES], "big") if short in LENGTH_BYTES else short
        if not self._is_control and self._message + self._left > self.limit:
            raise FrameRefused(WSCloseCode.MESSAGE_TOO_BIG, f"a message may have at most {self.limit} bytes")
        if not self._left:
            self._end_frame()

    def _end_frame(self) -> None:
        if self._is_last and not self._is_control:
            self._finished.append(self._message)
            self._message = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

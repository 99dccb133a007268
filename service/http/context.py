"""The state of a running server, which its handlers and WebSocket sessions share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TYPE_CHECKING

from aiohttp import web

from ...transfer.policy import Policy
from .access import Door

if TYPE_CHECKING:
    from ..queue.tasks import Tasks
    from ..settings import ServiceSettings

Opening = Callable[[], AbstractAsyncContextManager["Tasks"]]

_logger = logging.getLogger("acestep_xl")


class ServerContext:
    """What the handlers share.

    opening: makes the facade of tasks, which is opened when it is first asked for and closed with the application.
    prefix: the path below which the application is mounted, such as "/acestep-xl".
    """

    def __init__(self, settings: ServiceSettings, opening: Opening, prefix: str) -> None:
        self.settings = settings
        self.policy = Policy(settings.allow_private)  # of addresses in requests
        self.door = Door(settings.api_keys, settings.allowed_origins)
        self.listeners: list[Callable[[str], None]] = []  # called with the UUID of a task that changed
        self.stopping = asyncio.Event()
        self.answering = 0  # requests being answered now
        self._opening, self._prefix = opening, prefix
        self._stack = AsyncExitStack()
        self._turn = asyncio.Lock()
        self._tasks: Tasks | None = None

    async def tasks(self) -> Tasks:
        async with self._turn:
            if self._tasks is None:
                self._tasks = await self._stack.enter_async_context(self._opening())
                for listener in self.listeners:
                    self._tasks.subscribe(listener)
            return self._tasks

    def open_soon(self) -> None:
        """Open the tasks in the background; a failure is told in the log, and again to whoever asks."""

        async def attempt() -> None:
            try:
                await self.tasks()
            except Exception:
                _logger.exception("the tasks of the task API cannot be opened")

        self._opening_soon = asyncio.ensure_future(attempt())

    def base_url(self, request: web.Request) -> str:
        """How this client reached the server, for the addresses of its results."""
        return f"{request.scheme}://{request.host}{self._prefix}"

    async def close(self) -> None:
        async with self._turn:
            self._tasks = None
            await self._stack.aclose()


CONTEXT = web.AppKey("acestep_xl_context", ServerContext)

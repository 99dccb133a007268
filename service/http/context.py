"""The state of a running server that its handlers and WebSocket sessions share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TYPE_CHECKING

from aiohttp import web

from ...transfer.policy import Policy
from ..settings import ServiceSettings
from .access import Access

if TYPE_CHECKING:  # it loads the engines, which the routes in ComfyUI do not need before the first task
    from ..queue.tasks import Tasks

OpenTasks = Callable[[], AbstractAsyncContextManager["Tasks"]]

_logger = logging.getLogger("acestep_xl")


class ServerContext:
    """What the handlers share.

    open_tasks: opens the queue, when a request first needs it; it is closed with the application. prefix: the path
    below which the application is mounted, such as "/acestep-xl".
    """

    def __init__(self, settings: ServiceSettings, open_tasks: OpenTasks, prefix: str) -> None:
        self.settings = settings
        self.policy = Policy(settings.allow_private)  # of addresses in requests
        self.access = Access(settings.api_keys, settings.allowed_origins)
        self.listeners: list[Callable[[str], None]] = []  # called with the UUID of a task that changed
        self.stopping = asyncio.Event()
        self.active_requests = 0
        self._open_tasks, self._prefix = open_tasks, prefix
        self._stack = AsyncExitStack()
        self._lock = asyncio.Lock()
        self._tasks: Tasks | None = None
        self._opening: asyncio.Future[None] | None = None

    async def tasks(self) -> Tasks:
        """The queue, opened by the first call."""
        async with self._lock:
            if self._tasks is None:
                self._tasks = await self._stack.enter_async_context(self._open_tasks())
                for listener in self.listeners:
                    self._tasks.subscribe(listener)
            return self._tasks

    def open_in_background(self) -> None:
        """Open the queue without waiting; a failure is logged, and raised again by the next `tasks`."""

        async def attempt() -> None:
            try:
                await self.tasks()
            except Exception:
                _logger.exception("the queue of the task API cannot be opened")

        self._opening = asyncio.ensure_future(attempt())

    def base_url(self, request: web.Request) -> str:
        """How this client reached the server, for the addresses of its results."""
        return f"{request.scheme}://{request.host}{self._prefix}"

    async def close(self) -> None:
        async with self._lock:
            self._tasks = None
            await self._stack.aclose()


CONTEXT = web.AppKey("acestep_xl_context", ServerContext)

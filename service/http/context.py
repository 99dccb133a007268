"""The state of a running server that its handlers and WebSocket sessions share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TYPE_CHECKING

from aiohttp import web

from ...transfer.policy import Policy
from ..queue.answer_parts import PartReader
from ..schema.errors import ApiError
from ..settings import ServiceSettings
from .access import Access, bearer_key, client_name
from .byte_budget import ByteBudget
from .json_body import JsonReader
from .key_guesses import KeyGuesses

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
        self.reader, self.part_reader, self.guesses = JsonReader(), PartReader(), KeyGuesses()
        # One client alone can send the largest recording, and leaves room for another one.
        self.budget = ByteBudget(2 * settings.max_body_bytes, settings.max_body_bytes)
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

    @property
    def problems(self) -> list[str]:
        """What keeps tasks from running or being delivered, as far as the queue is open."""
        return [] if self._tasks is None else self._tasks.problems

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

    async def header_error(self, request: web.Request) -> ApiError | None:
        """Why a request is refused by the API key of its header alone, or None."""
        key = bearer_key(request.headers)
        if key is None or self.access.accepts_key(key):
            return None
        return await self.guesses.answer(client_name(request.remote))

    async def close(self) -> None:
        self.reader.close()
        self.part_reader.close()
        async with self._lock:
            self._tasks = None
            await self._stack.aclose()


CONTEXT = web.AppKey("acestep_xl_context", ServerContext)

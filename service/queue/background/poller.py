"""A loop that looks for work when woken, and does several pieces of it at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

_logger = logging.getLogger("acestep_xl")


class Poller:
    """Runs coroutines in the event loop, one per key."""

    def __init__(self) -> None:
        self._wake = asyncio.Event()
        self._running: dict[int, asyncio.Task[None]] = {}

    @property
    def running(self) -> frozenset[int]:
        """The keys of the coroutines that are running."""
        return frozenset(self._running)

    def wake(self) -> None:
        """Look for work now."""
        self._wake.set()

    def start(self, key: int, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._running[key] = task
        task.add_done_callback(partial(self._end, key))

    async def run(self, poll: Callable[[], Awaitable[float | None]]) -> None:
        """Call `poll` when woken, whenever a coroutine ends, and after the seconds that it returned, if any.

        Runs until cancelled, and then cancels the coroutines.
        """
        try:
            while True:
                self._wake.clear()
                timeout = await poll()
                # Not wait_for, which may swallow a cancellation that comes together with a wake.
                timer = None if timeout is None else asyncio.get_running_loop().call_later(timeout, self._wake.set)
                try:
                    await self._wake.wait()
                finally:
                    if timer is not None:
                        timer.cancel()
        finally:
            running = list(self._running.values())
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _end(self, key: int, task: asyncio.Task[None]) -> None:
        del self._running[key]
        if not task.cancelled() and (error := task.exception()):
            _logger.error("work in the background", exc_info=error)
        self._wake.set()

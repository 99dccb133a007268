"""A loop that looks for work when woken, and does several pieces of it at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any


class Poller:
    """Runs coroutines in the event loop, one per key and at most `limit` at a time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._wake = asyncio.Event()
        self._running: dict[int, asyncio.Task[None]] = {}

    @property
    def running(self) -> frozenset[int]:
        """The keys of the coroutines that are running."""
        return frozenset(self._running)

    @property
    def free(self) -> int:
        """How many more coroutines may start."""
        return self._limit - len(self._running)

    def wake(self) -> None:
        """Look for work now."""
        self._wake.set()

    def start(self, key: int, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._running[key] = task
        task.add_done_callback(lambda _: self._end(key))

    async def run(self, poll: Callable[[], Awaitable[float | None]]) -> None:
        """Call `poll` when woken, whenever a coroutine ends, and after the seconds that it returned, if any.

        Runs until cancelled, and then cancels the coroutines.
        """
        try:
            while True:
                self._wake.clear()
                timeout = await poll()
                try:
                    await asyncio.wait_for(self._wake.wait(), timeout)
                except asyncio.TimeoutError:
                    continue
        finally:
            running = list(self._running.values())
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _end(self, key: int) -> None:
        del self._running[key]
        self._wake.set()

"""A bounded number of coroutines in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class BackgroundPool:
    """Coroutines that run in the event loop, one per key. on_end: called whenever one ends."""

    def __init__(self, limit: int, on_end: Callable[[], None]) -> None:
        self._limit, self._on_end = limit, on_end
        self._running: dict[int, asyncio.Task[None]] = {}

    @property
    def keys(self) -> frozenset[int]:
        """The keys of those that are running."""
        return frozenset(self._running)

    @property
    def free(self) -> int:
        """How many more may be started."""
        return self._limit - len(self._running)

    def start(self, key: int, coroutine: Coroutine[Any, Any, None]) -> None:
        running = asyncio.create_task(coroutine)
        self._running[key] = running
        running.add_done_callback(lambda _: self._end(key))

    async def close(self) -> None:
        """Cancel all, and wait until they have ended."""
        running = list(self._running.values())
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _end(self, key: int) -> None:
        del self._running[key]
        self._on_end()

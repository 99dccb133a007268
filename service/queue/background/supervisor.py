"""Background loops that outlive their errors."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

_logger = logging.getLogger("acestep_xl")
FIRST_DELAY, MAX_DELAY = 0.5, 60.0  # seconds before a loop that failed starts again, doubling
STABLE_SECONDS = 60.0  # a loop that has run for so long since is well again


class Supervisor:
    """Runs loops in the event loop, and starts those again that fail. problems: why, by the loop's name."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._failures: dict[str, tuple[str, float]] = {}  # and when, by the monotonic clock

    @property
    def problems(self) -> list[str]:
        """What has failed recently."""
        since = time.monotonic() - STABLE_SECONDS
        return [problem for problem, failed in self._failures.values() if failed > since]

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run a loop until it returns or `stop` is called. name: for messages, such as "deliveries"."""
        self._tasks.append(asyncio.create_task(self._keep_running(name, run)))

    async def stop(self) -> None:
        """Cancel all loops, and wait for their ends."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep_running(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        delay = FIRST_DELAY
        while True:
            started = time.monotonic()
            try:
                await run()
                return
            except Exception as error:
                failed = time.monotonic()
                if failed - started > STABLE_SECONDS:
                    delay = FIRST_DELAY
                _logger.exception("%s: starting again in %g seconds", name, delay)
                problem = f"{name} failed ({type(error).__name__}) and started again; the server's log has the details"
                self._failures[name] = (problem, failed)
            await asyncio.sleep(delay)
            delay = min(2 * delay, MAX_DELAY)

"""Follows jumps of the system's clock, so that nothing ends before its time.

Times that outlive the process are stored by the system's clock. When somebody sets it, or it is corrected after a start
without network, the stored times are moved along: what had an hour left has an hour left. A jump while the server is
off cannot be told from a long time.
"""

from __future__ import annotations

import asyncio
import logging
import time

from .. import retention
from ..database import TaskDatabase
from ..source_fetcher import RecordingStore

_logger = logging.getLogger("acestep_xl")
INTERVAL = 1.0  # seconds between two looks at the clock
TOLERANCE = 30.0  # seconds; smaller corrections are usual


class JumpingClock:
    """The system's clock, compared with one that nobody can set."""

    def __init__(self) -> None:
        self.accept()

    def accept(self) -> None:
        """Take the clock as it is."""
        self._time, self._steady = time.time(), _steady_time()

    def time(self) -> float:
        """The Unix time, by the clock as it was before a jump that is not accepted yet."""
        return time.time() - self.jump()

    def jump(self) -> float:
        """By how many seconds the clock has jumped since it was accepted; 0 within the tolerance."""
        difference = time.time() - self._time - (_steady_time() - self._steady)
        return difference if abs(difference) >= TOLERANCE else 0.0


class ClockFollower:
    """Moves the times of one server's folder."""

    def __init__(self, clock: JumpingClock, database: TaskDatabase, recordings: RecordingStore) -> None:
        self._clock, self._database, self._recordings = clock, database, recordings
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Follow the clock until cancelled."""
        while True:
            await self.follow()
            await asyncio.sleep(INTERVAL)

    async def follow(self) -> None:
        """Move what is stored if the clock has jumped since the last call. Call it before anything expires for good."""
        async with self._turn:
            jump = self._clock.jump()
            if not jump:
                self._clock.accept()
                return
            _logger.warning("the system's clock jumped by %+.0f seconds; what expires is moved along", jump)
            # What was stored since the last look is by the new clock already.
            now = time.time()
            await self._database.transact(retention.move_times, jump, now - 2 * INTERVAL, now)
            await asyncio.to_thread(self._recordings.move_times, jump)
            self._clock.accept()


def _steady_time() -> float:
    """Seconds of a clock that nobody can set and that, where there is one, does not stop while the machine sleeps."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()

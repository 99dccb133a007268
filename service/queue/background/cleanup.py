"""Deletes files that have expired."""

from __future__ import annotations

import asyncio
import logging

from ..result_files import ResultFiles
from ..source_fetcher import RecordingStore
from .clock import ClockFollower

_logger = logging.getLogger("acestep_xl")
INTERVAL = 15.0  # seconds


async def run_cleanup(files: ResultFiles, recordings: RecordingStore, clock: ClockFollower) -> None:
    """Delete expired results and recordings periodically, until cancelled."""
    while True:
        try:
            await clock.follow()
            await files.delete_expired()
            await asyncio.to_thread(recordings.clean)
        except OSError as error:
            _logger.error("cannot delete expired files: %s", error)
        await asyncio.sleep(INTERVAL)

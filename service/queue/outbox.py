"""Sends what is due: uploads of results, and webhook calls that tell of them. The store remembers it over a restart.

Each is tried until it arrives, at least once in all; a call has the same bytes each time. An upload comes before the
webhook of its result, so who is called finds the file in its place, unless the upload was given up.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from pathlib import Path

from ...transfer import send
from ...transfer.errors import Failed, TransferError, redacted
from ...transfer.policy import Policy
from ..settings import ServiceSettings
from . import deliveries, results
from .database import StorageFull, Store
from .deliveries import Delivery

_logger = logging.getLogger("acestep_xl")
AT_ONCE = 16
# The hosted service's pace: from a quarter of a second, doubling, to 8 s, spread so that calls don't come in bursts.
FIRST_DELAY, LONGEST_DELAY, SPREAD = 0.25, 8.0, 0.25
# A server that was off longer than deliveries are tried still makes so many attempts.
FEWEST_ATTEMPTS = 10
SECONDS_PER_HOUR = 3600.0
# Answers to an upload that may be different next time; others of 400 to 499, such as an expired address, stay.
PASSING = (408, 425, 429)


class Outbox:
    """Delivers in the event loop that runs it. folder: of the results."""

    def __init__(self, store: Store, folder: Path, settings: ServiceSettings) -> None:
        self._store, self._folder, self._settings = store, folder, settings
        self._due = asyncio.Event()
        self._underway: dict[int, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """There may be something new to send."""
        self._due.set()

    async def run(self) -> None:
        """Deliver until cancelled; what is then underway is tried again after the next start."""
        try:
            while True:
                self._due.clear()
                try:
                    await self._begin()
                    await self._wait()
                except StorageFull as error:
                    await self._rest(error)
        finally:
            for sending in self._underway.values():
                sending.cancel()
            await asyncio.gather(*self._underway.values(), return_exceptions=True)

    async def _begin(self) -> None:
        free = AT_ONCE - len(self._underway)
        if free <= 0:
            return
        for delivery in await self._store.call(deliveries.due, time.time(), free, frozenset(self._underway)):
            sending = asyncio.create_task(self._carry_out(delivery))
            self._underway[delivery.number] = sending
            sending.add_done_callback(lambda _, number=delivery.number: self._ended(number))

    def _ended(self, number: int) -> None:
        del self._underway[number]
        self._due.set()

    async def _wait(self) -> None:
        """Until something is new, or the next delivery is due."""
        until = await self._store.call(deliveries.next_due, frozenset(self._underway))
        full = len(self._underway) >= AT_ONCE
        patience = None if until is None or full else max(until - time.time(), 0.01)
        try:
            await asyncio.wait_for(self._due.wait(), patience)
        except asyncio.TimeoutError:
            return

    async def _carry_out(self, delivery: Delivery) -> None:
        """One attempt, and what follows from it."""
        try:
            await self._attempt(delivery)
        except StorageFull as error:
            await self._rest(error)

    async def _attempt(self, delivery: Delivery) -> None:
        try:
            await self._send(delivery)
        except TransferError as error:
            await self._missed(delivery, error.reason, final=_is_final(delivery, error))
        except FileNotFoundError:
            await self._missed(delivery, "the result is no longer kept", final=True)
        except Exception as error:  # a delivery must never end the outbox
            _logger.exception("delivery to %s", redacted(delivery.url))
            await self._missed(delivery, f"{type(error).__name__}: {error}", final=False)
        else:
            await self._store.call(deliveries.delivered, delivery.number)

    async def _rest(self, error: StorageFull) -> None:
        """Without this, what cannot be written down as sent would be sent over and over."""
        _logger.error("deliveries rest: %s", error)
        await asyncio.sleep(LONGEST_DELAY)

    async def _send(self, delivery: Delivery) -> None:
        if delivery.kind == "upload":
            file = self._folder / (delivery.file or "")
            data = await asyncio.to_thread(_contents, file)
            await send.put(
                delivery.url, data, results.media_type(file.name), self._policy(self._settings.upload_timeout)
            )
            return
        data = await asyncio.to_thread(self._body, delivery)
        await send.post_json(delivery.url, data, self._policy(self._settings.webhook_timeout))

    def _body(self, delivery: Delivery) -> bytes:
        if delivery.failed:
            return results.body(results.failure(delivery.answer))
        return results.body(results.with_sound(delivery.answer, self._folder / (delivery.file or "")))

    def _policy(self, seconds: float) -> Policy:
        patience = min(Policy.connect_timeout, seconds)
        return Policy(self._settings.allow_private, connect_timeout=patience, total_timeout=seconds)

    async def _missed(self, delivery: Delivery, problem: str, final: bool) -> None:
        now = time.time()
        old = now - delivery.created > self._settings.delivery_hours * SECONDS_PER_HOUR
        if final or (old and delivery.attempts + 1 >= FEWEST_ATTEMPTS):
            _logger.warning("%s to %s given up: %s", delivery.kind, redacted(delivery.url), problem)
            await self._store.call(deliveries.give_up, delivery.number, problem)
        else:
            await self._store.call(deliveries.postpone, delivery.number, now + delay(delivery.attempts), problem)


def delay(attempts: int) -> float:
    """Seconds before the next attempt, after so many before the one that failed just now."""
    longest = min(FIRST_DELAY * 2 ** min(attempts, 30), LONGEST_DELAY)
    return longest * random.uniform(1 - SPREAD, 1)


def _is_final(delivery: Delivery, error: TransferError) -> bool:
    if not isinstance(error, Failed):
        return True
    status = error.status or 0
    return delivery.kind == "upload" and 400 <= status < 500 and status not in PASSING


def _contents(file: Path) -> bytes:
    if not file.is_file():
        raise FileNotFoundError(file)
    return file.read_bytes()

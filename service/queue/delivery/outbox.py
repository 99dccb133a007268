"""Sends what is due: uploads of results, and webhook calls that announce them. The database remembers both.

Delivery is at least once; each attempt of a call has the same body. A webhook comes after the upload of its result, so
the receiver finds the file in place unless the upload was given up.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from pathlib import Path
from typing import Any

from ....transfer import send
from ....transfer.errors import Failed, TransferError, redacted
from ....transfer.policy import Policy
from ...settings import ServiceSettings
from .. import answer_parts, result_objects
from ..answer_parts import PartReader
from ..background.clock import ClockFollower
from ..background.lanes import Lanes
from ..background.poller import Poller
from ..database import StorageFull, TaskDatabase
from . import deliveries
from .deliveries import UPLOAD, WEBHOOK, Delivery

_logger = logging.getLogger("acestep_xl")
WEBHOOKS, UPLOADS = 128, 64  # at a time
# As the hosted service retries: after 0.25 s, doubling up to 8 s, with jitter so that calls do not come in bursts.
FIRST_DELAY, MAX_DELAY, JITTER = 0.25, 8.0, 0.25
# Attempts that are made even if the server was off for longer than deliveries are retried.
MIN_ATTEMPTS = 10
SECONDS_PER_HOUR = 3600.0
# Statuses of an upload worth a retry; other 4xx, such as that of an expired URL, are final.
TRANSIENT = (408, 425, 429)


class Outbox:
    """Delivers in the event loop that runs it. folder: of the results."""

    def __init__(self, database: TaskDatabase, folder: Path, settings: ServiceSettings, clock: ClockFollower) -> None:
        self._database, self._folder, self._settings, self._clock = database, folder, settings, clock
        self._lanes: dict[str, Lanes] = {}
        self._reader = PartReader()  # of the audio in webhook calls
        self._poller = Poller()
        self.wake = self._poller.wake

    async def run(self) -> None:
        """Deliver until cancelled; the next start repeats what was not complete."""
        self._lanes = {UPLOAD: Lanes(UPLOADS), WEBHOOK: Lanes(WEBHOOKS)}
        await self._poller.run(self._poll)

    def close(self) -> None:
        """Once `run` has ended."""
        self._reader.close()

    async def _poll(self) -> float | None:
        """Start what is due and has room. Returns the seconds until something else is due."""
        try:
            now = time.time()
            await self._start_due(now)
            due = await self._database.transact(deliveries.next_due, now)
            return None if due is None else min(max(due - time.time(), 0.01), MAX_DELAY)
        except StorageFull as error:
            await self._pause(error)
            return 0.0

    async def _start_due(self, now: float) -> None:
        hosts = await self._database.transact(deliveries.list_hosts)
        room = {(kind, host): self._lanes[kind].room(host) for kind, host in hosts}
        running = self._poller.running
        for delivery in await self._database.transact(deliveries.list_due, now, room, running, MAX_DELAY):
            lanes = self._lanes[delivery.kind]
            if lanes.room(delivery.host) > 0:
                lanes.start(delivery.number, delivery.host)
                self._poller.start(delivery.number, self._deliver(delivery))

    async def _deliver(self, delivery: Delivery) -> None:
        """Make one attempt, and record its outcome."""
        answered = False
        try:
            answered = await self._attempt(delivery)
        except StorageFull as error:
            await self._pause(error)
        except Exception as error:  # of the database; the delivery stays due
            _logger.exception("the outcome of delivery %d cannot be recorded", delivery.number)
            await self._pause(error)
        finally:
            self._lanes[delivery.kind].end(delivery.number, answered=answered)

    async def _attempt(self, delivery: Delivery) -> bool:
        """Whether the receiver answered, whatever it said."""
        try:
            await self._send(delivery)
        except TransferError as error:
            await self._record_failure(delivery, error.reason, final=_is_final(delivery, error))
            return error.status is not None
        except FileNotFoundError:
            await self._record_failure(delivery, "the result is no longer kept", final=True)
        except Exception as error:  # the outbox must survive any delivery
            _logger.exception("delivery to %s", redacted(delivery.url))
            await self._record_failure(delivery, f"{type(error).__name__}: {error}", final=False)
        else:
            await self._database.transact(deliveries.complete, delivery.number)
        return True

    async def _pause(self, error: Exception) -> None:
        """Hold back; otherwise a delivery whose success cannot be recorded is sent over and over."""
        _logger.error("deliveries are paused: %s", error)
        await asyncio.sleep(MAX_DELAY)

    async def _send(self, delivery: Delivery) -> None:
        file = self._folder / (delivery.file or "")
        if delivery.kind == UPLOAD:
            policy = self._policy(self._settings.upload_timeout)
            await send.put_file(delivery.url, file, result_objects.media_type(file.name), policy)
        else:
            parts = answer_parts.split(_webhook_object(delivery, file))
            length = await asyncio.to_thread(answer_parts.length, parts)
            policy = self._policy(self._settings.webhook_timeout)
            await send.post_json_pieces(delivery.url, self._reader.pieces(parts), length, policy)

    def _policy(self, timeout: float) -> Policy:
        connect_timeout = min(Policy.connect_timeout, timeout)
        return Policy(self._settings.allow_private, connect_timeout=connect_timeout, total_timeout=timeout)

    async def _record_failure(self, delivery: Delivery, problem: str, final: bool) -> None:
        if final or (delivery.attempts + 1 >= MIN_ATTEMPTS and await self._is_too_old(delivery)):
            _logger.warning("gave up the %s to %s: %s", delivery.kind, redacted(delivery.url), problem)
            await self._database.transact(deliveries.give_up, delivery.number, problem)
        else:
            due = time.time() + retry_delay(delivery.attempts)
            await self._database.transact(deliveries.postpone, delivery.number, due, problem)

    async def _is_too_old(self, delivery: Delivery) -> bool:
        limit = self._settings.delivery_hours * SECONDS_PER_HOUR
        if time.time() - delivery.created <= limit:
            return False
        await self._clock.follow()  # it may just have jumped
        created = await self._database.transact(deliveries.creation_time, delivery.number)
        return time.time() - created > limit


def retry_delay(attempts: int) -> float:
    """Seconds until the next attempt. attempts: made before the one that just failed."""
    longest = min(FIRST_DELAY * 2 ** min(attempts, 30), MAX_DELAY)
    return longest * random.uniform(1 - JITTER, 1)


def _is_final(delivery: Delivery, error: TransferError) -> bool:
    if not isinstance(error, Failed):
        return True
    status = error.status or 0
    return delivery.kind == UPLOAD and 400 <= status < 500 and status not in TRANSIENT


def _webhook_object(delivery: Delivery, file: Path) -> dict[str, Any]:
    if delivery.failed:
        return result_objects.failure_object(delivery.payload)
    return result_objects.with_audio_text(delivery.payload, file)

"""Slows down the guessing of API keys. A key that is accepted is never delayed, whatever came before it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict

from ..schema.errors import ApiError
from .access import wrong_key_error

FREE_GUESSES = 10  # of one client within WINDOW, for people who paste a key wrongly
WINDOW = 60.0  # seconds
DELAY = 1.0  # seconds before a further wrong key is answered
MAX_DELAYED = 8  # answers to one client; further ones are sent at once
MAX_CLIENTS = 4096  # that are remembered


class KeyGuesses:
    """The wrong keys of each client, known by its address."""

    def __init__(self) -> None:
        self._guesses: OrderedDict[str, list[float]] = OrderedDict()  # times, the latest client last
        self._delayed: Counter[str] = Counter()

    async def answer(self, client: str) -> ApiError:
        """The error for a wrong key, which counts as a guess; delayed for a client with too many."""
        if not self._count(client):
            return wrong_key_error()
        if self._delayed[client] < MAX_DELAYED:
            self._delayed[client] += 1
            try:
                await asyncio.sleep(DELAY)
            finally:
                self._delayed[client] -= 1
        message = f"too many wrong API keys from this address; correct the key, or try again in {WINDOW:.0f} seconds"
        return ApiError("tooManyRequests", message, "apiKey", "authentication")

    def _count(self, client: str) -> bool:
        """Remember a guess. Returns whether the client has made too many."""
        now = time.monotonic()
        times = [then for then in self._guesses.pop(client, []) if now - then < WINDOW]
        self._guesses[client] = [*times[-FREE_GUESSES:], now]
        if len(self._guesses) > MAX_CLIENTS:
            self._guesses.popitem(last=False)
        return len(times) >= FREE_GUESSES

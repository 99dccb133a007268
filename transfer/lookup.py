"""Resolves names with the operating system, in threads of its own: a name server that never answers holds up only the
names that it is responsible for."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

SECONDS = 10.0  # that one look-up may take
CONCURRENCY = 128  # look-ups that are unanswered at a time
PER_DOMAIN = 8  # of them, for names of one domain
SHORT_LABEL = 3  # characters of a second level that belongs to the country, as in example.co.uk


@dataclass
class _Lookup:
    """An unanswered look-up. answer: its addresses."""

    started: float = field(default_factory=time.monotonic)
    answer: Future[list[str]] = field(default_factory=Future)


class Lookups:
    """Look-ups of one process. resolve: the addresses of a name; blocks, and raises OSError.

    The operating system offers no way to stop one, so each has a thread, which does not keep the process from ending.
    Whoever asks for the same name shares the look-up.
    """

    def __init__(self, resolve: Callable[[str], list[str]]) -> None:
        self._resolve = resolve
        self._lock = threading.Lock()
        self._unanswered: dict[str, _Lookup] = {}
        self._domains: Counter[str] = Counter()

    async def addresses(self, host: str) -> list[str]:
        """The addresses of a name. Raises OSError, also if there is no answer in time or too many are unanswered."""
        lookup = self._join(host)
        left = lookup.started + SECONDS - time.monotonic()
        try:
            return await asyncio.wait_for(asyncio.wrap_future(lookup.answer), max(left, 0.0))
        except asyncio.TimeoutError:
            raise OSError(f"the name server has not answered within {SECONDS:g} seconds") from None

    def _join(self, host: str) -> _Lookup:
        """The look-up of a name that is underway, or a new one."""
        with self._lock:
            if host in self._unanswered:
                return self._unanswered[host]
            domain = _domain(host)
            if len(self._unanswered) >= CONCURRENCY or self._domains[domain] >= PER_DOMAIN:
                raise OSError("too many look-ups are unanswered; try again later")
            lookup = self._unanswered[host] = _Lookup()
            self._domains[domain] += 1
        lookup.answer.set_running_or_notify_cancel()  # a caller that gives up must not cancel it for the others
        threading.Thread(target=self._answer, args=(host, lookup), name="acestep-xl-lookup", daemon=True).start()
        return lookup

    def _answer(self, host: str, lookup: _Lookup) -> None:
        try:
            addresses, error = self._resolve(host), None
        except Exception as problem:
            addresses, error = [], problem
        with self._lock:
            del self._unanswered[host]
            self._domains[_domain(host)] -= 1
            self._domains += Counter()  # drops the zeros
        if error is None:
            lookup.answer.set_result(addresses)
        else:
            lookup.answer.set_exception(error)


def resolve(host: str) -> list[str]:
    """The IP addresses of a name, by the operating system. Blocks."""
    entries = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in entries))


def _domain(host: str) -> str:
    """The part of a name that one owner has, nearly always: two labels, or three under a country."""
    labels = host.rstrip(".").split(".")
    depth = 3 if len(labels) > 2 and len(labels[-2]) <= SHORT_LABEL else 2
    return ".".join(labels[-depth:])


SYSTEM = Lookups(resolve)

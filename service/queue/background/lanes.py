"""Shares the places of a pool between hosts, so that hosts that never answer hold up none that do."""

from __future__ import annotations

from collections import Counter, OrderedDict
from enum import IntEnum

REMEMBERED = 10_000  # hosts


class Standing(IntEnum):
    """How a host has behaved the last time, the worst first."""

    SILENT = 0
    UNKNOWN = 1
    ANSWERING = 2


# The share of all places that hosts of a standing may take, together with those of a worse one, and the share that one
# such host may take.
TOTAL_SHARES = {Standing.SILENT: 0.25, Standing.UNKNOWN: 0.75, Standing.ANSWERING: 1.0}
HOST_SHARES = {Standing.SILENT: 1 / 16, Standing.UNKNOWN: 0.5, Standing.ANSWERING: 0.5}


class Lanes:
    """The places of one pool. size: how many there are."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._standings: OrderedDict[str, Standing] = OrderedDict()
        self._running: dict[int, tuple[str, Standing]] = {}
        self._hosts: Counter[str] = Counter()
        self._by_standing: Counter[Standing] = Counter()

    def room(self, host: str) -> int:
        """How many more transfers with a host may start now."""
        standing = self._standing(host)
        taken = sum(count for other, count in self._by_standing.items() if other <= standing)
        total = _places(self._size, TOTAL_SHARES[standing]) - taken
        own = _places(self._size, HOST_SHARES[standing]) - self._hosts[host]
        return max(min(total, own, self._size - len(self._running)), 0)

    def start(self, key: int, host: str) -> None:
        """Take a place. key: of the transfer, to give the place back."""
        standing = self._standing(host)
        self._running[key] = (host, standing)
        self._hosts[host] += 1
        self._by_standing[standing] += 1

    def end(self, key: int, *, answered: bool) -> None:
        """Give a place back. answered: whether the host responded, whatever it said."""
        host, standing = self._running.pop(key)
        self._by_standing[standing] -= 1
        self._hosts[host] -= 1
        if not self._hosts[host]:
            del self._hosts[host]
        self._standings[host] = Standing.ANSWERING if answered else Standing.SILENT
        self._standings.move_to_end(host)
        while len(self._standings) > REMEMBERED:
            self._standings.popitem(last=False)

    def _standing(self, host: str) -> Standing:
        return self._standings.get(host, Standing.UNKNOWN)


def _places(size: int, share: float) -> int:
    return max(int(size * share), 1)

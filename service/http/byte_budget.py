"""A bound on the bytes of requests that are in memory at a time, over all connections and for each client."""

from __future__ import annotations

from collections import Counter


class BudgetSpent(RuntimeError):  # noqa: N818 - names the condition
    """More bytes than are left; the message says what to do."""


class ByteBudget:
    """total, per_client: in bytes. A client is known by its address."""

    def __init__(self, total: int, per_client: int) -> None:
        self._total, self._per_client = total, per_client
        self._used: Counter[str] = Counter()  # by client

    @property
    def used(self) -> int:
        return sum(self._used.values())

    def lease(self, client: str) -> Lease:
        """A share of the budget for one request or connection, empty at first."""
        return Lease(self, client)

    def change(self, client: str, difference: int) -> None:
        """Take more of the budget, or give some back. Raises BudgetSpent, and then takes nothing."""
        if difference > 0 and (
            self._used[client] + difference > self._per_client or self.used + difference > self._total
        ):
            raise BudgetSpent("too much is being uploaded at once; try again when other uploads have finished")
        self._used[client] += difference
        if self._used[client] <= 0:
            del self._used[client]


class Lease:
    """What one request or connection holds of a budget; a context manager that gives it back."""

    def __init__(self, budget: ByteBudget, client: str) -> None:
        self._budget, self._client = budget, client
        self.size = 0

    def resize(self, size: int) -> None:
        """Hold so many bytes from now on. Raises BudgetSpent, and then holds what it held."""
        self._budget.change(self._client, size - self.size)
        self.size = size

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.resize(0)

"""Announces tasks that have changed, within one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class TaskEvents:
    """Wakes those who wait for a task, and calls listeners."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}  # by task UUID in lower case
        self._listeners: list[Callable[[str], None]] = []

    @contextmanager
    def watching(self, task_uuid: str) -> Iterator[asyncio.Event]:
        """An event that each change of the task sets, until the caller clears it. Enter before reading the task's
        state, so that no change is missed."""
        key, changed = task_uuid.lower(), asyncio.Event()
        self._waiting.setdefault(key, set()).add(changed)
        try:
            yield changed
        finally:
            self._waiting[key].discard(changed)
            if not self._waiting[key]:
                del self._waiting[key]

    def subscribe(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Call the listener with the UUID of each task that changes. Returns a function that unsubscribes it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def notify(self, task_uuid: str) -> None:
        """A result of this task has ended."""
        for changed in self._waiting.get(task_uuid.lower(), ()):
            changed.set()
        for listener in list(self._listeners):
            listener(task_uuid)

"""Announces tasks that have changed, within one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class TaskEvents:
    """Wakes those who wait for a task, and calls listeners."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Event] = {}  # by task UUID in lower case
        self._listeners: list[Callable[[str], None]] = []

    def next_change(self, task_uuid: str) -> asyncio.Event:
        """Set at the next change. Get it before reading the task's state, so that no change is missed."""
        return self._waiting.setdefault(task_uuid.lower(), asyncio.Event())

    def subscribe(self, listener: Callable[[str], None]) -> Callable[[], None]:
        """Call the listener with the UUID of each task that changes. Returns a function that unsubscribes it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def notify(self, task_uuid: str) -> None:
        """A result of this task has ended."""
        changed = self._waiting.pop(task_uuid.lower(), None)
        if changed is not None:
            changed.set()
        for listener in list(self._listeners):
            listener(task_uuid)

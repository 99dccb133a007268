"""States of results and deliveries, spelt as the database stores them."""

from __future__ import annotations

from enum import Enum


class Status(str, Enum):
    """State of one result."""

    QUEUED = "queued"  # waits for a worker, or for its task's source
    RUNNING = "running"  # claimed by a worker; queued again if the process dies
    DONE = "done"  # its file is published; final
    FAILED = "failed"  # has an error instead of a file, also when cancelled; final

    @property
    def is_final(self) -> bool:
        return self in (Status.DONE, Status.FAILED)


UNFINISHED = (Status.QUEUED, Status.RUNNING)


class DeliveryStatus(str, Enum):
    """State of one upload or webhook call."""

    WAITING = "waiting"  # for its next attempt, or for the upload it comes after
    DONE = "done"  # the receiver accepted it; final
    FAILED = "failed"  # given up; final

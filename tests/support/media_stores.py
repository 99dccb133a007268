"""Media stores in temporary folders, and recordings to add to them."""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import torch

from acestep_xl.audio.encoding import encode
from acestep_xl.service.queue.media_store import Media, MediaStore
from acestep_xl.service.schema.request import read_tasks
from acestep_xl.service.schema.task import Task
from acestep_xl.service.settings import ServiceSettings

HOUR = 3600.0
MIB = 2**20


def recording(
    seconds: float = 0.25, rate: int = 48000, channels: int = 2, format: str = "wav", depth: int = 16
) -> bytes:
    """An encoded file of noise."""
    noise = torch.rand(channels, round(seconds * rate), generator=torch.Generator().manual_seed(0)) - 0.5
    return encode(noise, rate, format=format, bit_depth=depth).data


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000_000_000.0

    def __call__(self) -> float:
        return self.now


def open_store(
    folder: Path, clock: Clock | None = None, in_use: Callable[[], Collection[str]] = tuple, **settings: Any
) -> MediaStore:
    return MediaStore(folder, ServiceSettings(**settings), in_use=in_use, clock=clock or Clock())


def add(store: MediaStore, source: str) -> Media:
    return asyncio.run(store.add(source))


def upload_task(media: str) -> Task:
    """A mediaStorage task that uploads `media`."""
    (result,) = read_tasks(
        [{"taskType": "mediaStorage", "taskUUID": str(uuid.uuid4()), "operation": "upload", "media": media}]
    )
    assert isinstance(result, Task), result
    return result

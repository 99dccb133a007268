"""Keeps recordings that come from outside, as files of a folder: uploads, and sources that tasks name by URL.

A recording is one file, named by a UUID of ours and what it really is; its time is that of its last use. It takes its
name when it is complete, on the disk and known to decode, so whatever a crash leaves has another name.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import os
import re
import time
import uuid
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...audio import files
from ...transfer.errors import Failed, Refused
from ...transfer.fetch import fetch
from ...transfer.network import INTERNET, Network
from ...transfer.policy import Policy
from ...transfer.sniff import sniff
from ..engine.protocol import DiskFull
from ..schema import urls
from ..schema.errors import ApiError, RequestError
from ..schema.task import Task
from ..settings import ServiceSettings
from .database import StorageFull
from .worker import publish

PARTIAL = ".part"  # in the names of incomplete files, as `publish` also names them
YOUNG = 3600.0  # seconds: no incomplete file is older, and no recording makes room for another before
DATA_URI = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)
# Names that the node which loads audio lists. FFmpeg goes by the content, so any of them would do.
EXTENSIONS = {
    "audio/wav": ".wav",
    "audio/mpeg": ".mp3",
    "audio/flac": ".flac",
    "audio/ogg": ".ogg",
    "audio/mp4": ".m4a",
    "audio/aac": ".aac",
    "audio/aiff": ".aiff",
    "video/mp4": ".mp4",
    "video/quicktime": ".mov",
    "video/webm": ".webm",
    "video/x-matroska": ".mkv",
}
OTHER = ".mka"


class MediaError(ValueError):
    """A recording that is not taken in, and why."""


@dataclass(frozen=True)
class Media:
    """A recording. media_type: by its content. size: in bytes. seconds: how long it sounds."""

    uuid: str
    path: Path
    media_type: str
    size: int
    seconds: float


class MediaStore:
    """The recordings of a server's folder, which is made where it is missing.

    in_use: the names of files that unfinished tasks need, asked in a worker thread; they are never deleted.
    """

    def __init__(
        self,
        folder: Path,
        settings: ServiceSettings,
        *,
        in_use: Callable[[], Collection[str]] = tuple,
        network: Network = INTERNET,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder, self._settings, self._in_use = folder.absolute(), settings, in_use
        self._network, self._clock = network, clock
        # Decoding takes memory by the length of the sound: one at a time.
        self._turn = asyncio.Semaphore(1)
        self._folder.mkdir(parents=True, exist_ok=True)

    async def add(self, source: str, policy: Policy | None = None) -> Media:
        """Take in a recording from a URL, a data URI or bare base64.

        policy: for the URL, None for that of the settings. Raises MediaError for what is too large, no media, too long
        or not to be decoded, transfer's Refused and Failed for a URL, and StorageFull.
        """
        data: bytes | None = None
        if urls.is_url(source):
            data = (await fetch(source, policy or self._policy(), network=self._network)).data
        async with self._turn:
            return await asyncio.to_thread(self._take_in, source, data)

    async def store(self, request: Task) -> dict[str, Any]:
        """Carry out a mediaStorage task: the answer holds the mediaUUID. Raises RequestError."""
        try:
            media = await self.add(request.value("media"))
        except (MediaError, Refused, Failed) as error:
            reason = str(error) if isinstance(error, MediaError) else error.reason
            raise _request_error("invalidMedia", f"media cannot be used: {reason}", request) from None
        except StorageFull as error:
            raise _request_error("storageFull", f"the recording was not taken in: {error}", request) from None
        return {"taskType": request.task_type, "taskUUID": request.task_uuid, "mediaUUID": media.uuid}

    async def fetch(self, url: str) -> Path:
        """Where the recording behind a URL lies, once it is here. Raises what `add` does."""
        return (await self.add(url)).path

    def find(self, media_uuid: str) -> Path | None:
        """Where a recording lies, None for what is no UUID of one. Counts as a use."""
        try:
            name = str(uuid.UUID(media_uuid))
        except ValueError:
            return None
        for extension in (*EXTENSIONS.values(), OTHER):
            path = self._folder / f"{name}{extension}"
            # It may go between two looks, when another thread makes room.
            with suppress(FileNotFoundError):
                self._touch(path)
                return path
        return None

    def clean(self, room: int = 0) -> None:
        """Delete what a crash left and recordings whose time is over, then, where `room` more bytes would be too many,
        those unused for longest. Raises StorageFull where that is not enough."""
        now, kept, needed = self._clock(), self._settings.media_hours * 3600, set(self._in_use())
        found = []
        for entry in os.scandir(self._folder):
            with suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=False):
                    found.append((entry.stat().st_mtime, entry.stat().st_size, Path(entry.path)))
        found.sort()
        total = sum(size for _, size, _ in found)
        most = int(self._settings.media_gib * 2**30)
        for used, size, path in found:
            over = now - used > (YOUNG if PARTIAL in path.name else kept or float("inf"))
            crowded = total + room > most and now - used > YOUNG
            if (over or crowded) and path.name not in needed:
                path.unlink(missing_ok=True)
                total -= size
        if room and total + room > most:
            raise StorageFull(f"recordings take {total} of {most} bytes, and one of {room} more does not fit")

    def _policy(self) -> Policy:
        patience = self._settings.fetch_timeout
        return Policy(
            self._settings.allow_private,
            max_bytes=self._settings.max_media_bytes,
            connect_timeout=min(Policy.connect_timeout, patience),
            total_timeout=patience,
        )

    def _take_in(self, source: str, data: bytes | None) -> Media:
        """Check a recording and give it a name; `data` where it was fetched."""
        if data is None:
            data = _decoded(source, self._settings.max_media_bytes)
        media_type = sniff(data)
        if media_type is None:
            raise MediaError(
                "it does not begin like any audio or video file; send WAV, FLAC, MP3, OGG, M4A or another common format"
            )
        self.clean(len(data))
        name, extension = str(uuid.uuid4()), EXTENSIONS.get(media_type, OTHER)
        partial, path = self._folder / f"{name}{PARTIAL}{extension}", self._folder / f"{name}{extension}"
        try:
            partial.write_bytes(data)
            seconds = self._seconds(partial)
            self._touch(partial)
            publish(partial, path)
        except (OSError, DiskFull) as error:
            if isinstance(error, DiskFull) or error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull("the disk has no room for the recording") from error
            raise
        finally:
            partial.unlink(missing_ok=True)
        return Media(name, path, media_type, len(data), seconds)

    def _touch(self, path: Path) -> None:
        now = self._clock()
        os.utime(path, (now, now))

    def _seconds(self, path: Path) -> float:
        """How long a file sounds; all of it is decoded for that."""
        try:
            waveform, rate = files.read(path, max_seconds=self._settings.media_seconds)
        except files.UnreadableAudio as error:
            # Where it lies is nobody's business outside.
            raise MediaError(str(error).replace(str(path), "the recording")) from None
        return waveform.shape[-1] / rate


def _decoded(source: str, most: int) -> bytes:
    """The bytes of a data URI or of bare base64, at most `most`."""
    start = 0
    if source[:5].lower() == "data:":
        head = DATA_URI.match(source)
        if head is None:
            raise MediaError("a data URI must look like data:audio/wav;base64,...")
        start = head.end()
    # Programs that print base64 break its lines.
    text = "".join(source[start:].split())
    if len(text) * 3 // 4 > most + 2:
        raise MediaError(f"it has more than the {most} bytes allowed")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MediaError("it is neither an http or https URL nor valid base64") from None
    if len(data) > most:
        raise MediaError(f"it has {len(data)} bytes; at most {most} are allowed")
    return data


def _request_error(code: str, message: str, request: Task) -> RequestError:
    parameter = "media" if code == "invalidMedia" else None
    return RequestError([ApiError(code, message, parameter, request.task_type, request.task_uuid)])

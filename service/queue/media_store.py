"""Stores recordings from outside as files of a folder: uploads, and sources that tasks give by URL.

A recording is one file, named by a new UUID and its real type; its modification time is that of its last use. It gets
its name once it is complete, on disk and identified as audio, so whatever a crash leaves behind has another name.
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

from ...audio.containers import UnreadableAudio
from ...audio.probe import AudioInfo, identify, probe
from ...transfer.errors import Failed, Refused
from ...transfer.fetch import fetch
from ...transfer.network import INTERNET, Network
from ...transfer.policy import Policy
from ..engine.protocol import DiskFull
from ..schema import urls
from ..schema.errors import ApiError, RequestError
from ..schema.task import Task
from ..settings import ServiceSettings
from .data_folder import PRIVATE_FOLDER, write_private
from .database import StorageFull
from .result_files import publish

PARTIAL = ".part"  # in the names of incomplete files, including those of `publish`
PROTECTED_SECONDS = 3600.0  # of recordings since their last use, and of incomplete files
DATA_URI = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)
# Extensions that the node for loading audio lists. FFmpeg goes by the content, so any of them would do.
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
OTHER_EXTENSION = ".mka"


class MediaError(ValueError):
    """A rejected recording; the message says why."""


@dataclass(frozen=True)
class Media:
    """A stored recording. media_type: by its content. size: in bytes. seconds: its length."""

    uuid: str
    path: Path
    media_type: str
    size: int
    seconds: float


class MediaStore:
    """The recordings in a server's folder, which is created if missing.

    in_use: returns the names of files that unfinished tasks need and that are never deleted; called in a worker thread.
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
        # One at a time: a recording may have to be decoded, which takes memory in proportion to its length.
        self._turn = asyncio.Semaphore(1)
        self._adding: str | None = None  # the UUID of the recording whose turn it is, which no cleaning may touch
        self._folder.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)

    async def add(self, source: str, policy: Policy | None = None) -> Media:
        """Store a recording from a URL, a data URI or bare base64.

        policy: for the URL, None for that of the settings. Raises MediaError for a recording that is too large or too
        long or not readable audio, transfer's Refused and Failed for a URL, and StorageFull.
        """
        data: bytes | None = None
        if urls.is_url(source):
            data = (await fetch(source, policy or self._policy(), network=self._network)).data
        async with self._turn:
            return await asyncio.to_thread(self._add, source, data)

    async def store(self, request: Task) -> dict[str, Any]:
        """Run a mediaStorage task; the response contains the mediaUUID. Raises RequestError."""
        try:
            media = await self.add(request.value("media"))
        except (MediaError, Refused, Failed) as error:
            reason = str(error) if isinstance(error, MediaError) else error.reason
            raise _request_error("invalidMedia", f"media cannot be used: {reason}", request) from None
        except StorageFull as error:
            raise _request_error("storageFull", f"the recording was not stored: {error}", request) from None
        return {"taskType": request.task_type, "taskUUID": request.task_uuid, "mediaUUID": media.uuid}

    async def fetch(self, url: str) -> Path:
        """Store the recording at a URL and return its path. Raises what `add` does."""
        return (await self.add(url)).path

    def find(self, media_uuid: str) -> Path | None:
        """The path of a recording, None for an unknown or invalid UUID. Counts as a use."""
        try:
            name = str(uuid.UUID(media_uuid))
        except ValueError:
            return None
        for extension in (*EXTENSIONS.values(), OTHER_EXTENSION):
            path = self._folder / f"{name}{extension}"
            # Touching is the existence check: another thread may delete the file at any time.
            with suppress(FileNotFoundError):
                self._touch(path)
                return path
        return None

    def clean(self, room: int = 0) -> None:
        """Delete incomplete files that a crash left and expired recordings, then the least recently used ones until
        `room` more bytes fit. Raises StorageFull if they do not."""
        now, lifetime, in_use = self._clock(), self._settings.media_hours * 3600 or float("inf"), set(self._in_use())
        files = self._files()
        limit = int(self._settings.media_gib * 2**30)
        total = sum(size for _, size, path in files if PARTIAL not in path.name)
        for last_use, size, path in files:
            age, is_partial = now - last_use, PARTIAL in path.name
            expired = age > (PROTECTED_SECONDS if is_partial else lifetime)
            crowded = total + room > limit and age > PROTECTED_SECONDS
            if (expired or crowded) and path.name not in in_use and path.name.partition(".")[0] != self._adding:
                path.unlink(missing_ok=True)
                total -= 0 if is_partial else size
        if room and total + room > limit:
            raise StorageFull(f"recordings take {total} of {limit} bytes, and one of {room} more does not fit")

    def move_times(self, seconds: float) -> None:
        """Move the time of the last use of every recording, after the clock has jumped by so much."""
        for last_use, _, path in self._files():
            with suppress(FileNotFoundError):
                os.utime(path, (last_use + seconds, last_use + seconds))

    def _files(self) -> list[tuple[float, int, Path]]:
        """Time of last use, size and path of every file, the least recently used first."""
        files = []
        for entry in os.scandir(self._folder):
            with suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=False):
                    files.append((entry.stat().st_mtime, entry.stat().st_size, Path(entry.path)))
        return sorted(files)

    def _policy(self) -> Policy:
        timeout = self._settings.fetch_timeout
        return Policy(
            self._settings.allow_private,
            max_bytes=self._settings.max_media_bytes,
            connect_timeout=min(Policy.connect_timeout, timeout),
            total_timeout=timeout,
        )

    def _add(self, source: str, data: bytes | None) -> Media:
        """Check a recording and publish it under a new name. data: None if the source itself contains it."""
        if data is None:
            data = _decode_base64(source, self._settings.max_media_bytes)
        name = self._adding = str(uuid.uuid4())
        partial = self._folder / f"{name}{PARTIAL}"
        try:
            write_private(partial, data)
            partial, info = self._probe(partial)
            # Only now, so that nothing is deleted for a file that is rejected.
            self.clean(len(data))
            path = self._folder / f"{name}{partial.suffix}"
            self._touch(partial)
            publish(partial, path)
        except (OSError, DiskFull) as error:
            if isinstance(error, DiskFull) or error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull("the disk has no room for the recording") from error
            raise
        finally:
            for leftover in self._folder.glob(f"{name}{PARTIAL}*"):
                leftover.unlink(missing_ok=True)
            self._adding = None
        return Media(name, path, info.media_type, len(data), info.seconds)

    def _touch(self, path: Path) -> None:
        now = self._clock()
        os.utime(path, (now, now))

    def _probe(self, path: Path) -> tuple[Path, AudioInfo]:
        """Rename a file to the extension of its type, and probe it under that: FFmpeg considers the extension of a file
        with ambiguous content, so it is checked as it will be read."""
        try:
            path = path.rename(path.with_name(path.name + EXTENSIONS.get(identify(path), OTHER_EXTENSION)))
            return path, probe(path, max_seconds=self._settings.media_seconds)
        except UnreadableAudio as error:
            # Clients must not learn where the folder is.
            raise MediaError(str(error).replace(str(path), "the recording")) from None


def _decode_base64(source: str, max_bytes: int) -> bytes:
    """The bytes of a data URI or of bare base64. Raises MediaError for more than `max_bytes`."""
    start = 0
    if source[:5].lower() == "data:":
        head = DATA_URI.match(source)
        if head is None:
            raise MediaError("a data URI must look like data:audio/wav;base64,...")
        start = head.end()
    # Base64 is often broken into lines.
    text = "".join(source[start:].split())
    if len(text) * 3 // 4 > max_bytes + 2:
        raise MediaError(f"it has more than the {max_bytes} bytes allowed")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise MediaError("it is neither an http or https URL nor valid base64") from None
    if len(data) > max_bytes:
        raise MediaError(f"it has {len(data)} bytes; at most {max_bytes} are allowed")
    return data


def _request_error(code: str, message: str, request: Task) -> RequestError:
    parameter = "media" if code == "invalidMedia" else None
    return RequestError([ApiError(code, message, parameter, request.task_type, request.task_uuid)])

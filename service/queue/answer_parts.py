"""Answers and webhook calls in parts: the audio of results is read from its file piece by piece while they are sent."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

from .result_objects import AudioText

AUDIO_BYTES = 3 * 2**15  # of a file that are read at a time; a multiple of 3, so that the pieces of base64 join
THREADS = 4

Part = bytes | AudioText


def split(value: Any) -> list[Part]:
    """A JSON value as the bytes of its text, cut where audio stands."""
    audio: list[AudioText] = []
    mark = secrets.token_hex(16)

    def stand_in(entry: object) -> str:
        if not isinstance(entry, AudioText):
            raise TypeError(f"{type(entry).__name__} is not JSON")
        audio.append(entry)
        return mark

    texts = json.dumps(value, default=stand_in).split(mark)
    parts: list[Part] = [texts[0].encode()]
    for entry, text in zip(audio, texts[1:], strict=True):
        parts += [entry.prefix.encode(), entry, text.encode()]
    return parts


def length(parts: Sequence[Part]) -> int:
    """Bytes of the parts as they are sent. Raises OSError if a file is gone."""
    return sum(len(part) if isinstance(part, bytes) else -(-part.file.stat().st_size // 3) * 4 for part in parts)


class PartReader:
    """Reads parts in threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "acestep-xl-audio")

    async def pieces(self, parts: Sequence[Part]) -> AsyncIterator[bytes]:
        """The bytes of the parts, a limited number at a time. Raises OSError if a file is gone."""
        loop = asyncio.get_running_loop()
        for part in parts:
            if isinstance(part, bytes):
                yield part
                continue
            file = await loop.run_in_executor(self._threads, part.file.open, "rb")
            try:
                while piece := await loop.run_in_executor(self._threads, _read_base64, file):
                    yield piece
            finally:
                file.close()

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _read_base64(file: IO[bytes]) -> bytes:
    return base64.b64encode(file.read(AUDIO_BYTES))

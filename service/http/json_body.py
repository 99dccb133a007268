"""Requests as JSON: read within bounds of bytes, time, depth and number, beside the event loop, and parsed strictly."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from aiohttp import web

from ..schema.value_checks import is_encodable
from .byte_budget import BudgetSpent, Lease
from .json_scan import LONG_KEY, MAX_DEPTH, BodyError, JsonScanner

T = TypeVar("T")

MAX_DIGITS = 32  # of an integer; Python takes quadratic time to read a longer one
MAX_FLOAT = 400  # characters
READ_SECONDS = 120.0  # for the whole body
PIECE = 2**15  # bytes that are scanned at a time; the interpreter is busy with nothing else meanwhile
INLINE = 2**13  # bytes that are not worth another thread
THREADS = 2


class JsonReader:
    """Reads JSON in threads of its own, so that no other work waits for it."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "acestep-xl-json")

    async def read(self, request: web.Request, limit: int, lease: Lease, seconds: float | None = None) -> Any:
        """The JSON value of a request's body of at most `limit` bytes. lease: takes what is kept in memory.

        seconds: READ_SECONDS if None. Raises BodyError.
        """
        seconds = READ_SECONDS if seconds is None else seconds
        check_head(request, limit)
        scanner = JsonScanner()
        try:
            await asyncio.wait_for(self._scan(request, limit, scanner, lease), seconds)
        except asyncio.TimeoutError as error:
            raise BodyError(408, f"the body did not arrive within {seconds:.0f} seconds") from error
        except BudgetSpent as error:
            raise BodyError(429, str(error)) from error
        return await self.run(scanner.size, partial(_parse, scanner))

    async def parse(self, text: str) -> Any:
        """The JSON value of a text. Raises BodyError."""
        return await self.run(len(text), partial(parse, text))

    async def run(self, size: int, work: Callable[[], T]) -> T:
        """Do work that takes as long as `size` bytes of JSON do: in a thread, unless that is hardly any time."""
        if size <= INLINE:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _scan(self, request: web.Request, limit: int, scanner: JsonScanner, lease: Lease) -> None:
        size = 0
        async for chunk in request.content.iter_any():
            size += len(chunk)
            if size > limit:
                raise BodyError(413, f"the body is longer than the limit of {limit} bytes")
            for start in range(0, len(chunk), PIECE):
                piece = chunk[start : start + PIECE]
                await self.run(len(piece), partial(scanner.feed, piece))
            lease.resize(scanner.size)


def check_head(request: web.Request, limit: int) -> None:
    """Refuse a body by its head, before any of it is read. Raises BodyError."""
    if request.content_type != "application/json":
        raise BodyError(415, f"the content type is {request.content_type!r}; it must be application/json")
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise BodyError(415, f"the content encoding {encoding!r} is not supported; send the body uncompressed")
    if (request.content_length or 0) > limit:
        raise BodyError(413, f"the body has {request.content_length} bytes; the limit is {limit}")


def parse(text: bytes | str) -> Any:
    """Strict JSON: UTF-8, no NaN or Infinity, no repeated keys, bounded in depth and number. Raises BodyError."""
    scanner = JsonScanner()
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    for start in range(0, len(data), PIECE):
        scanner.feed(data[start : start + PIECE])
    return _parse(scanner)


def _parse(scanner: JsonScanner) -> Any:
    try:
        value = json.loads(
            scanner.text,
            parse_constant=_refuse_constant,
            parse_float=_parse_float,
            parse_int=_parse_int,
            object_pairs_hook=partial(_build_object, scanner),
        )
    except BodyError:
        raise
    except ValueError as error:
        raise BodyError(400, f"the body is not JSON: {error}") from error
    _check_strings(value)
    return value


def _check_strings(value: Any) -> None:
    """Check, level by level, for what json.loads accepts: unpaired surrogates. Long strings are ASCII."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        children: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                children += [*item, *item.values()]
            elif isinstance(item, list):
                children += item
            elif isinstance(item, str) and not item.isascii() and not is_encodable(item):
                raise BodyError(400, "the body holds an unpaired surrogate, which is not valid text")
        level = children


def _refuse_constant(name: str) -> None:
    raise BodyError(400, f"the body is not JSON: {name} is not a JSON number")


def _parse_float(digits: str) -> float:
    if len(digits) > MAX_FLOAT:
        raise BodyError(400, f"the body holds a number of {len(digits)} characters; the limit is {MAX_FLOAT}")
    number = float(digits)
    if not math.isfinite(number):
        raise BodyError(400, f"the body holds the number {digits[:MAX_DIGITS]}, which is too large")
    return number


def _parse_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise BodyError(400, f"the body holds an integer of {len(digits)} digits; the limit is {MAX_DIGITS}")
    return int(digits)


def _build_object(scanner: JsonScanner, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise BodyError(400, f"the body has the key {name!r} twice in one object")
    key = LONG_KEY.decode()
    if isinstance(entries.get(key), str):
        entries[key] = scanner.long_strings.get(entries[key], entries[key])
    return entries

"""Request bodies: read within bounds of size and time, parsed as strict JSON."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp import web

MAX_DEPTH = 32  # the deepest legal request has 6 levels
MAX_DIGITS = 32  # of a whole number; Python takes quadratic time to read a longer one
READ_SECONDS = 120.0  # a body that trickles in slower is given up


class BodyError(ValueError):
    """A body that is not served; status is the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def read_json(request: web.Request, limit: int) -> Any:
    """The JSON value in a request's body of at most `limit` bytes. Raises BodyError."""
    if request.content_type != "application/json":
        raise BodyError(415, f"the content type is {request.content_type!r}; it must be application/json")
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise BodyError(415, f"the content encoding {encoding!r} is not read; send the body as it is")
    if (request.content_length or 0) > limit:
        raise BodyError(413, f"the body has {request.content_length} bytes; {limit} are the limit")
    try:
        return parse(await asyncio.wait_for(_read(request, limit), READ_SECONDS))
    except asyncio.TimeoutError as error:
        raise BodyError(408, f"the body did not arrive within {READ_SECONDS:.0f} seconds") from error


async def _read(request: web.Request, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.content.iter_any():
        size += len(part)
        if size > limit:
            raise BodyError(413, f"the body is longer than {limit} bytes, the limit")
        parts.append(part)
    return b"".join(parts)


def parse(text: bytes | str) -> Any:
    """Strict JSON: UTF-8, no NaN or Infinity, no key twice in an object, bounded depth. Raises BodyError."""
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(
            decoded,
            parse_constant=_no_constant,
            parse_float=_finite_number,
            parse_int=_whole_number,
            object_pairs_hook=_object_of_pairs,
        )
    except RecursionError as error:
        raise BodyError(400, f"the JSON is nested deeper than {MAX_DEPTH} levels") from error
    except BodyError:
        raise
    except ValueError as error:
        raise BodyError(400, f"the body is not JSON: {error}") from error
    _look_through(value)
    return value


def _look_through(value: Any) -> None:
    """Level by level, for what json.loads lets pass: any depth, and halves of surrogate pairs, which are no text."""
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += [*item, *item.values()]
            elif isinstance(item, list):
                below += item
            elif isinstance(item, str) and not item.isascii() and any("\ud800" <= sign <= "\udfff" for sign in item):
                raise BodyError(400, "the body holds half of a surrogate pair, which is no text")
        if not below:
            return
        level = below
    raise BodyError(400, f"the JSON is nested deeper than {MAX_DEPTH} levels")


def _no_constant(name: str) -> None:
    raise BodyError(400, f"the body is not JSON: {name} is not a JSON number")


def _finite_number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise BodyError(400, f"the body holds the number {digits[:MAX_DIGITS]}, which is too large")
    return number


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise BodyError(400, f"the body holds a whole number of {len(digits)} digits; {MAX_DIGITS} are the limit")
    return int(digits)


def _object_of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise BodyError(400, f"the body has the key {name!r} twice in one object")
    return found

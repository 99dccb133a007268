"""Request bodies: read within limits of size and time, parsed as strict JSON."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from typing import Any

from aiohttp import web

from ..schema.value_checks import is_encodable

MAX_DEPTH = 32  # the deepest valid request has 6 levels
MAX_DIGITS = 32  # of an integer; Python takes quadratic time to read a longer one
READ_SECONDS = 120.0  # for the whole body


class BodyError(ValueError):
    """A body that is refused. status: the HTTP status of the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def read_json(request: web.Request, limit: int) -> Any:
    """The JSON value of a request's body of at most `limit` bytes. Raises BodyError."""
    if request.content_type != "application/json":
        raise BodyError(415, f"the content type is {request.content_type!r}; it must be application/json")
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise BodyError(415, f"the content encoding {encoding!r} is not supported; send the body uncompressed")
    if (request.content_length or 0) > limit:
        raise BodyError(413, f"the body has {request.content_length} bytes; the limit is {limit}")
    try:
        return parse(await asyncio.wait_for(_read(request, limit), READ_SECONDS))
    except asyncio.TimeoutError as error:
        raise BodyError(408, f"the body did not arrive within {READ_SECONDS:.0f} seconds") from error


async def _read(request: web.Request, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise BodyError(413, f"the body is longer than the limit of {limit} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def parse(text: bytes | str) -> Any:
    """Strict JSON: UTF-8, no NaN or Infinity, no repeated keys, bounded depth. Raises BodyError."""
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(
            decoded,
            parse_constant=_refuse_constant,
            parse_float=_parse_float,
            parse_int=_parse_int,
            object_pairs_hook=_build_object,
        )
    except RecursionError as error:
        raise _too_deep() from error
    except BodyError:
        raise
    except ValueError as error:
        raise BodyError(400, f"the body is not JSON: {error}") from error
    _check_nested(value)
    return value


def _check_nested(value: Any) -> None:
    """Check, level by level, what json.loads accepts: any depth, and unpaired surrogates."""
    level = [value]
    for _ in range(MAX_DEPTH):
        children: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                children += [*item, *item.values()]
            elif isinstance(item, list):
                children += item
            elif isinstance(item, str) and not is_encodable(item):
                raise BodyError(400, "the body holds an unpaired surrogate, which is not valid text")
        if not children:
            return
        level = children
    raise _too_deep()


def _too_deep() -> BodyError:
    return BodyError(400, f"the JSON is nested deeper than {MAX_DEPTH} levels")


def _refuse_constant(name: str) -> None:
    raise BodyError(400, f"the body is not JSON: {name} is not a JSON number")


def _parse_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise BodyError(400, f"the body holds the number {digits[:MAX_DIGITS]}, which is too large")
    return number


def _parse_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise BodyError(400, f"the body holds an integer of {len(digits)} digits; the limit is {MAX_DIGITS}")
    return int(digits)


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise BodyError(400, f"the body has the key {name!r} twice in one object")
    return entries

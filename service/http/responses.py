"""HTTP responses in the API's shape."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from ..schema.errors import ApiError, http_status
from .dispatch import Answer, envelope


def reply(answer: Answer) -> web.Response:
    """200 as soon as one task brought something, else the status of the errors."""
    status = 200 if answer.data or not answer.errors else http_status(answer.errors)
    return web.json_response(envelope(answer), status=status)


def failure(code: str, message: str, status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    """One error that belongs to no task."""
    answer = Answer(errors=(ApiError(code=code, message=message),))
    return web.json_response(envelope(answer), status=status, headers=headers)

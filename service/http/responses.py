"""HTTP responses in the API's shape."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from ..schema.errors import ApiError, http_status
from .dispatch import Answer


def json_response(answer: Answer) -> web.Response:
    """Status 200 if any task succeeded, else the status of the errors."""
    status = 200 if answer.data or not answer.errors else http_status(answer.errors)
    return web.json_response(answer.to_json(), status=status)


def error_response(code: str, message: str, status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    """One error that belongs to no task."""
    answer = Answer(errors=(ApiError(code, message),))
    return web.json_response(answer.to_json(), status=status, headers=headers)

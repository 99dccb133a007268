"""HTTP responses in the API's shape."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from aiohttp import web

from ..queue.answer_parts import PartReader, length, split
from ..schema.errors import ApiError, http_status
from .dispatch import Answer

_logger = logging.getLogger("acestep_xl")


async def send_answer(request: web.Request, answer: Answer, reader: PartReader) -> web.StreamResponse:
    """Send an answer that may hold audio, which is read meanwhile. Status as `json_response`."""
    parts = split(answer.to_json())
    if isinstance(parts[0], bytes) and len(parts) == 1:
        return web.Response(body=parts[0], status=_status(answer), content_type="application/json", charset="utf-8")
    response = web.StreamResponse(status=_status(answer), headers={"Content-Type": "application/json; charset=utf-8"})
    response.content_length = length(parts)
    try:
        await response.prepare(request)
        async for piece in reader.pieces(parts):
            await response.write(piece)
    except ConnectionError:
        pass  # the client has left
    except OSError as error:  # a cut connection tells the client that the answer is incomplete
        _logger.error("an answer was cut off, because the audio of a result cannot be read: %s", error.strerror)
        if request.transport is not None:
            request.transport.abort()
    return response


def json_response(answer: Answer) -> web.Response:
    """Status 200 if any task succeeded, else the status of the errors."""
    return web.json_response(answer.to_json(), status=_status(answer))


def error_response(code: str, message: str, status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    """One error that belongs to no task."""
    answer = Answer(errors=(ApiError(code, message),))
    return web.json_response(answer.to_json(), status=status, headers=headers)


def _status(answer: Answer) -> int:
    return 200 if answer.data or not answer.errors else http_status(answer.errors)

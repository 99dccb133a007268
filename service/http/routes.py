"""The handlers of the server's paths."""

from __future__ import annotations

import asyncio
import json
from functools import cache, partial
from pathlib import Path

from aiohttp import web

from ..schema.errors import RequestError
from ..schema.request import TaskOrErrors, read_tasks
from ..schema.task import Task
from . import openapi
from .access import bearer_key, client_name, missing_key_error
from .byte_budget import Lease
from .connection import serve
from .connections import BusyFileResponse
from .context import CONTEXT, ServerContext
from .dispatch import Answer, handle_all, merge, wait_for_results
from .json_scan import BodyError
from .responses import error_response, json_response, send_answer
from .sessions import SESSIONS

PAGE = Path(__file__).parents[1] / "page"
KEYLESS_BYTES = 2**16  # of a body whose key is in one of its own tasks
KEYLESS_SECONDS = 10.0  # to read it
UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


async def post_tasks(request: web.Request) -> web.StreamResponse:
    """Carry out a JSON array of tasks."""
    context = request.config_dict[CONTEXT]
    if error := await context.header_error(request):
        return json_response(Answer(errors=(error,)))
    try:
        answers = await _carry_out_body(request, context)
    except BodyError as error:
        code = "tooManyRequests" if error.status == 429 else "invalidRequest"
        return error_response(code, str(error), error.status)
    except RequestError as error:
        return json_response(Answer(errors=error.errors))
    return await _complete(request, context, answers)


async def _carry_out_body(request: web.Request, context: ServerContext) -> list[Answer]:
    """Carry out the tasks of a request without waiting for their results. Raises BodyError and RequestError."""
    with context.budget.lease(client_name(request.remote)) as lease:
        tasks = await _read_tasks(request, context, lease)
        keys = [task.value("apiKey") for task in tasks if isinstance(task, Task) and task.task_type == "authentication"]
        if not all(context.access.accepts_key(key) for key in keys):
            raise RequestError([await context.guesses.answer(client_name(request.remote))])
        if context.access.requires_key and not keys and bearer_key(request.headers) is None:
            raise RequestError([missing_key_error()])
        queue = await context.tasks()
        return await handle_all(tasks, queue, context.base_url(request))


async def _read_tasks(request: web.Request, context: ServerContext, lease: Lease) -> list[TaskOrErrors]:
    """The tasks of a body. One without a key in its header may only be as long as it takes to hold a key itself."""
    limit, reader = context.settings.max_body_bytes, context.reader
    if not context.access.requires_key or bearer_key(request.headers) is not None:
        body = await reader.read(request, limit, lease)
    else:
        try:
            body = await reader.read(request, min(limit, KEYLESS_BYTES), lease, KEYLESS_SECONDS)
        except BodyError as error:
            raise (RequestError([missing_key_error()]) if error.status == 413 else error) from error
    return await reader.run(lease.size, partial(read_tasks, body, context.policy))


async def _complete(request: web.Request, context: ServerContext, answers: list[Answer]) -> web.StreamResponse:
    """The answers in the order of their tasks, once those that await results have them or the server stops."""
    if all(answer.awaiting is None for answer in answers):
        return await send_answer(request, merge(answers), context.part_reader)
    queue, seconds = await context.tasks(), context.settings.sync_timeout

    async def complete(answer: Answer) -> Answer:
        return answer if answer.awaiting is None else await wait_for_results(answer.awaiting, queue, seconds)

    completing = asyncio.gather(*(complete(answer) for answer in answers))
    stopping = asyncio.ensure_future(context.stopping.wait())
    try:
        await asyncio.wait([completing, stopping], return_when=asyncio.FIRST_COMPLETED)
        if completing.done():
            return await send_answer(request, merge(completing.result()), context.part_reader)
        message = (
            "the server is stopping; accepted tasks continue after its restart: fetch their results with getResponse"
        )
        return error_response("serverStopping", message, 503)
    finally:
        completing.cancel()
        stopping.cancel()


def _wants_websocket(request: web.Request) -> bool:
    return "websocket" in request.headers.get("Upgrade", "").lower()


async def get_page(request: web.Request) -> web.StreamResponse:
    """The page for people, or the WebSocket for programs."""
    return await get_socket(request) if _wants_websocket(request) else _page_file("index.html")


async def get_socket(request: web.Request) -> web.StreamResponse:
    """The WebSocket."""
    context, sessions = request.config_dict[CONTEXT], request.config_dict[SESSIONS]
    if not _wants_websocket(request):
        return error_response("invalidRequest", "POST an array of tasks, or open a WebSocket", 405, {"Allow": "POST"})
    if error := await context.header_error(request):
        return json_response(Answer(errors=(error,)))
    sessions.make_room(client_name(request.remote))
    if sessions.full:
        message = "too many WebSocket connections; try again later"
        return error_response("tooManyRequests", message, 429, {"Retry-After": "10"})
    return await serve(request, context, sessions)


async def get_page_file(request: web.Request) -> web.StreamResponse:
    """A script, style or picture of the page."""
    name = request.match_info["name"]
    if not (PAGE / name).is_file():
        return error_response("fileNotFound", f"there is no {request.path}", 404)
    return _page_file(name)


def _page_file(name: str) -> web.StreamResponse:
    media_type = PAGE_TYPES[Path(name).suffix]
    return BusyFileResponse(PAGE / name, headers={"Content-Type": media_type, "Cache-Control": "no-cache"})


async def get_audio(request: web.Request) -> web.StreamResponse:
    """The audio of a result by its UUID. FileResponse answers Range and conditional requests."""
    queue = await request.config_dict[CONTEXT].tasks()
    file = await queue.file(request.match_info["uuid"].lower())
    if file is None or file[0].suffix != f".{request.match_info['extension']}":
        return error_response("fileNotFound", f"there is no {request.path}; it may have expired", 404)
    path, media_type = file
    return BusyFileResponse(path, headers={"Content-Type": media_type, "Cache-Control": "private"})


async def get_queue(request: web.Request) -> web.Response:
    """The unfinished tasks and their progress."""
    context = request.config_dict[CONTEXT]
    if error := await context.header_error(request):
        return json_response(Answer(errors=(error,)))
    if context.access.requires_key and bearer_key(request.headers) is None:
        return json_response(Answer(errors=(missing_key_error(),)))
    queue = await context.tasks()
    return web.json_response({"data": await queue.overview()})


async def get_health(request: web.Request) -> web.Response:
    """That the server runs, whether something in it has failed, and what the page needs to know before it has a key."""
    context = request.config_dict[CONTEXT]
    health = {"status": "failing" if context.problems else "ok", "problems": context.problems}
    return web.json_response({**health, "demo": context.settings.demo, "apiKey": context.access.requires_key})


async def get_openapi(request: web.Request) -> web.Response:
    """The OpenAPI description."""
    return web.Response(body=_openapi_text(), content_type="application/json", charset="utf-8")


@cache
def _openapi_text() -> bytes:
    return json.dumps(openapi.document()).encode()


PAGE_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
ROUTES = [
    web.post("/", post_tasks),
    web.post("/v1", post_tasks),
    web.get("/", get_page),
    web.get("/v1", get_socket),
    web.get("/openapi.json", get_openapi),
    web.get("/queue", get_queue),
    web.get("/health", get_health),
    web.get(f"/audio/{{uuid:{UUID}}}.{{extension:[a-z0-9]+}}", get_audio),
    web.get(r"/page/{name:[a-z]+\.(?:css|js|svg)}", get_page_file),
]

"""The handlers of the server's paths."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from ..schema.errors import ApiError, RequestError
from ..schema.request import TaskOrErrors, read_tasks
from ..schema.task import Task
from . import openapi
from .access import bearer_key
from .connection import serve
from .context import CONTEXT, ServerContext
from .dispatch import Answer, handle, merge, wait_for_results
from .json_body import BodyError, read_json
from .responses import error_response, json_response
from .sessions import SESSIONS

PAGE = Path(__file__).parents[1] / "page"
UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


async def post_tasks(request: web.Request) -> web.Response:
    """Carry out a JSON array of tasks."""
    context = request.config_dict[CONTEXT]
    try:
        tasks = read_tasks(await read_json(request, context.settings.max_body_bytes), context.policy)
    except BodyError as error:
        return error_response("invalidRequest", str(error), error.status)
    except RequestError as error:
        return json_response(Answer(errors=error.errors))
    if error := _key_error(request, tasks):
        return json_response(Answer(errors=(error,)))
    queue = await context.tasks()
    answers = [await handle(task, queue, context.base_url(request)) for task in tasks]
    return await _complete(context, answers)


def _key_error(request: web.Request, tasks: Sequence[TaskOrErrors] = ()) -> ApiError | None:
    """Why a request is refused as a whole, by the API keys of its header and of its authentication tasks."""
    keys = [task.value("apiKey") for task in tasks if isinstance(task, Task) and task.task_type == "authentication"]
    header = bearer_key(request.headers)
    if header is not None:
        keys.append(header)
    return request.config_dict[CONTEXT].access.key_error(keys)


async def _complete(context: ServerContext, answers: list[Answer]) -> web.Response:
    """The answers in the order of their tasks, once those that await results have them or the server stops."""
    queue, seconds = await context.tasks(), context.settings.sync_timeout

    async def complete(answer: Answer) -> Answer:
        return answer if answer.awaiting is None else await wait_for_results(answer.awaiting, queue, seconds)

    completing = asyncio.gather(*(complete(answer) for answer in answers))
    stopping = asyncio.ensure_future(context.stopping.wait())
    try:
        await asyncio.wait([completing, stopping], return_when=asyncio.FIRST_COMPLETED)
        if completing.done():
            return json_response(merge(completing.result()))
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


def _page_file(name: str) -> web.FileResponse:
    media_type = PAGE_TYPES[Path(name).suffix]
    return web.FileResponse(PAGE / name, headers={"Content-Type": media_type, "Cache-Control": "no-cache"})


async def get_audio(request: web.Request) -> web.StreamResponse:
    """The audio of a result by its UUID. FileResponse answers Range and conditional requests."""
    queue = await request.config_dict[CONTEXT].tasks()
    file = await queue.file(request.match_info["uuid"].lower())
    if file is None or file[0].suffix != f".{request.match_info['extension']}":
        return error_response("fileNotFound", f"there is no {request.path}; it may have expired", 404)
    path, media_type = file
    return web.FileResponse(path, headers={"Content-Type": media_type, "Cache-Control": "private"})


async def get_queue(request: web.Request) -> web.Response:
    """The unfinished tasks and their progress."""
    if error := _key_error(request):
        return json_response(Answer(errors=(error,)))
    queue = await request.config_dict[CONTEXT].tasks()
    return web.json_response({"data": await queue.overview()})


async def get_health(request: web.Request) -> web.Response:
    """That the server runs, and what the page needs to know before it has a key."""
    context = request.config_dict[CONTEXT]
    return web.json_response({"status": "ok", "demo": context.settings.demo, "apiKey": context.access.requires_key})


async def get_openapi(request: web.Request) -> web.Response:
    """The OpenAPI description."""
    return web.json_response(openapi.document())


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

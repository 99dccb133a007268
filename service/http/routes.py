"""What the server answers at which path."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from ..schema.errors import ApiError, RequestError
from ..schema.request import TaskOrErrors, read_tasks
from ..schema.task import Task
from . import openapi
from .access import bearer
from .connection import serve
from .context import CONTEXT, ServerContext
from .dispatch import Answer, answer, finish, merge, missing_key, wrong_key
from .json_body import BodyError, read_json
from .responses import failure, reply
from .sessions import SESSIONS

PAGE = Path(__file__).parents[1] / "page"
UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


async def post_tasks(request: web.Request) -> web.Response:
    """Carry out a JSON array of tasks."""
    context = request.config_dict[CONTEXT]
    try:
        reads = read_tasks(await read_json(request, context.settings.max_body_bytes), context.policy)
    except BodyError as error:
        return failure("invalidRequest", str(error), error.status)
    except RequestError as error:
        return reply(Answer(errors=error.errors))
    if refusal := _locked_out(request, context, reads):
        return reply(Answer(errors=(refusal,)))
    tasks = await context.tasks()
    found = [await answer(read, tasks, context.base_url(request)) for read in reads]
    return await _wait(context, found)


def _locked_out(request: web.Request, context: ServerContext, reads: Sequence[TaskOrErrors]) -> ApiError | None:
    """Why nothing of a request is carried out, where it brings no accepted key in its header or among its tasks."""
    offered: list[str] = [
        read.value("apiKey") for read in reads if isinstance(read, Task) and read.task_type == "authentication"
    ]
    header = bearer(request.headers)
    if header is not None:
        offered.append(header)
    if any(not context.door.opens(key) for key in offered):
        return wrong_key()
    return None if offered or not context.door.locked else missing_key()


async def _wait(context: ServerContext, found: list[Answer]) -> web.Response:
    """The answers in the order of their tasks, with the results of those that were asked for as answer."""
    tasks, seconds = await context.tasks(), context.settings.sync_timeout

    async def complete(one: Answer) -> Answer:
        return await finish(one.awaited, tasks, seconds) if one.awaited is not None else one

    completing = asyncio.gather(*(complete(one) for one in found))
    stopping = asyncio.ensure_future(context.stopping.wait())
    try:
        await asyncio.wait([completing, stopping], return_when=asyncio.FIRST_COMPLETED)
        if completing.done():
            return reply(merge(completing.result()))
        words = "the server is stopping; accepted tasks go on when it is back: ask for their results with getResponse"
        return failure("serverStopping", words, 503)
    finally:
        completing.cancel()
        stopping.cancel()


async def get_page(request: web.Request) -> web.StreamResponse:
    """The page for people, or the WebSocket for programs."""
    if "websocket" in request.headers.get("Upgrade", "").lower():
        return await get_socket(request)
    return _page_file("index.html")


async def get_socket(request: web.Request) -> web.StreamResponse:
    context = request.config_dict[CONTEXT]
    if "websocket" not in request.headers.get("Upgrade", "").lower():
        return failure("invalidRequest", "POST an array of tasks, or open a WebSocket", 405, {"Allow": "POST"})
    if request.config_dict[SESSIONS].full:
        return failure("tooManyRequests", "too many WebSocket connections; try again later", 429, {"Retry-After": "10"})
    return await serve(request, context, request.config_dict[SESSIONS])


async def get_page_file(request: web.Request) -> web.StreamResponse:
    name = request.match_info["name"]
    if not (PAGE / name).is_file():
        return failure("fileNotFound", f"there is no {request.path}", 404)
    return _page_file(name)


def _page_file(name: str) -> web.FileResponse:
    media_type = PAGE_TYPES[Path(name).suffix]
    return web.FileResponse(PAGE / name, headers={"Content-Type": media_type, "Cache-Control": "no-cache"})


async def get_audio(request: web.Request) -> web.StreamResponse:
    """A result by its UUID. FileResponse answers Range and conditional requests."""
    context = request.config_dict[CONTEXT]
    found = await (await context.tasks()).file(request.match_info["uuid"].lower())
    if found is None or found[0].suffix != f".{request.match_info['extension']}":
        return failure("fileNotFound", f"there is no {request.path}; it may have expired", 404)
    path, media_type = found
    return web.FileResponse(path, headers={"Content-Type": media_type, "Cache-Control": "private"})


async def get_queue(request: web.Request) -> web.Response:
    """The unfinished tasks and their progress."""
    context = request.config_dict[CONTEXT]
    if not context.door.opens(bearer(request.headers)):
        return reply(Answer(errors=(missing_key() if bearer(request.headers) is None else wrong_key(),)))
    return web.json_response({"data": await (await context.tasks()).overview()})


async def get_health(request: web.Request) -> web.Response:
    """That the server lives, and what the page needs to know before it has a key."""
    context = request.config_dict[CONTEXT]
    return web.json_response({"status": "ok", "demo": context.settings.demo, "apiKey": context.door.locked})


async def get_openapi(request: web.Request) -> web.Response:
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

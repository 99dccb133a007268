"""The HTTP side of the task API as one aiohttp application, at the root of a server of its own or below a prefix."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import web

from .context import CONTEXT, Opening, ServerContext
from .responses import failure
from .routes import ROUTES
from .sessions import SESSIONS, Sessions

if TYPE_CHECKING:
    from ..settings import ServiceSettings

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_logger = logging.getLogger("acestep_xl")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "media-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PREFLIGHT = {
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Max-Age": "600",
}


def build_app(settings: ServiceSettings, opening: Opening, *, prefix: str = "", lazy: bool = False) -> web.Application:
    """The application with all its routes.

    prefix: the path it will be mounted below. lazy: open the tasks with the first request that needs them, not when the
    application starts.
    """
    context = ServerContext(settings, opening, prefix)
    sessions = Sessions(context)
    context.listeners.append(sessions.notify)

    async def start(app: web.Application) -> None:
        if not lazy:
            await context.tasks()

    async def stop(app: web.Application) -> None:
        # Everyone who waits is let go; accepted tasks stay in the queue.
        context.stopping.set()
        await sessions.close()

    async def close(app: web.Application) -> None:
        await context.close()

    app = web.Application(middlewares=[_answer_faults, _guard])
    app[CONTEXT] = context
    app[SESSIONS] = sessions
    app.on_startup.append(start)
    app.on_shutdown.append(stop)
    app.on_cleanup.append(close)
    app.on_response_prepare.append(_set_headers)
    app.add_routes(ROUTES)
    return app


async def _set_headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    origin = request.headers.get("Origin")
    if request.config_dict[CONTEXT].door.allows(origin):
        response.headers["Access-Control-Allow-Origin"] = str(origin)
        response.headers["Vary"] = "Origin"


@web.middleware
async def _answer_faults(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every answer is JSON in the API's shape, also where no route or no code was ready for the request."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return failure("invalidRequest", f"{request.method} {request.path}: {error.reason}", error.status, allowed)
    except asyncio.CancelledError:
        raise
    except Exception:
        _logger.exception("%s %s failed", request.method, request.path)
        return failure("internalError", "the server made a mistake; its log says which", 500)


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    server = request.config_dict[CONTEXT]
    if problem := server.door.strange_host(request.headers):
        return failure("forbidden", problem, 403)
    if request.method == "OPTIONS" and server.door.allows(request.headers.get("Origin")):
        return web.Response(status=204, headers=_PREFLIGHT)
    changes = request.method != "GET" or "Upgrade" in request.headers
    if changes and request.method != "HEAD" and (problem := server.door.strange_origin(request.headers)):
        return failure("forbidden", problem, 403)
    if server.answering >= server.settings.max_connections:
        return failure("tooManyRequests", "too many requests at once; try again soon", 429, {"Retry-After": "1"})
    server.answering += 1
    try:
        return await handler(request)
    finally:
        server.answering -= 1

"""The HTTP side of the task API as one aiohttp application, standalone or mounted below a prefix."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.http import HttpProcessingError

from ..settings import ServiceSettings
from .connections import busy
from .context import CONTEXT, OpenTasks, ServerContext
from .responses import error_response
from .routes import ROUTES
from .sessions import SESSIONS, Sessions

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


def build_app(
    settings: ServiceSettings, open_tasks: OpenTasks, *, prefix: str = "", lazy: bool = False
) -> web.Application:
    """The application with all its routes.

    prefix: the path below which it is mounted. lazy: open the queue when a request first needs it, not when the
    application starts.
    """
    context = ServerContext(settings, open_tasks, prefix)
    sessions = Sessions(context)
    context.listeners.append(sessions.notify)

    async def start(app: web.Application) -> None:
        if not lazy:
            await context.tasks()

    async def stop(app: web.Application) -> None:
        # Waiting clients get their answer; accepted tasks stay in the queue.
        context.stopping.set()
        await sessions.close()

    async def close(app: web.Application) -> None:
        await context.close()

    app = web.Application(middlewares=[_handle_errors, _check_request])
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
    if request.config_dict[CONTEXT].access.allows_origin(origin):
        response.headers["Access-Control-Allow-Origin"] = str(origin)
        response.headers["Vary"] = "Origin"


@web.middleware
async def _handle_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error as JSON in the API's shape, unknown paths and exceptions included."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        message = f"{request.method} {request.path}: {error.reason}"
        return error_response("invalidRequest", message, error.status, allowed)
    except asyncio.CancelledError:
        raise
    except (ConnectionError, web.RequestPayloadError, HttpProcessingError):  # tracebacks would show what was sent
        return error_response("invalidRequest", "the body was not transferred as HTTP requires", 400)
    except Exception:
        _logger.exception("%s %s failed", request.method, request.path)
        return error_response("internalError", "the server failed; see its log", 500)


@web.middleware
async def _check_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    context = request.config_dict[CONTEXT]
    if problem := context.access.host_problem(request.headers):
        return error_response("forbidden", problem, 403)
    if request.method == "OPTIONS" and context.access.allows_origin(request.headers.get("Origin")):
        return web.Response(status=204, headers=_PREFLIGHT)
    if _may_change(request) and (problem := context.access.origin_problem(request.headers)):
        return error_response("forbidden", problem, 403)
    if context.active_requests >= context.settings.max_connections:
        message = "too many requests at once; try again soon"
        return error_response("tooManyRequests", message, 429, {"Retry-After": "1"})
    context.active_requests += 1
    try:
        with busy(request):
            return await handler(request)
    finally:
        context.active_requests -= 1


def _may_change(request: web.Request) -> bool:
    """Whether a request can change something: all but reading, and reading too where it opens a WebSocket."""
    return "Upgrade" in request.headers if request.method == "GET" else request.method != "HEAD"

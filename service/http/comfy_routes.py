"""The task API in ComfyUI's server, below /acestep-xl."""

from __future__ import annotations

import logging
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from ..settings import ServiceSettings
from .access import KEY_VARIABLE, in_url, is_loopback, keys_in
from .app import build_app
from .context import CONTEXT

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from ..queue.tasks import Tasks

_logger = logging.getLogger("acestep_xl")
PREFIX = "/acestep-xl"


@cache
def register() -> None:
    """Add the routes to the ComfyUI that is loading the pack; what they need is made when they are first used.

    Where others can reach ComfyUI they are added only with an API key in the environment.
    """
    from ...host import comfy_server

    keys = keys_in(os.environ.get(KEY_VARIABLE, ""))
    if not keys and not all(is_loopback(in_url(address)) for address in comfy_server.listen_addresses()):
        _logger.info("the task API at %s is off: others can reach this ComfyUI; set %s", PREFIX, KEY_VARIABLE)
        return
    comfy_server.mount(PREFIX, application(comfy_server.user_directory() / "acestep-xl", comfy_server.local_url(), keys), _with_slash)


def application(folder: Path, url: str, keys: tuple[str, ...]) -> web.Application:
    """The routes, with their queue and results in `folder` and their graphs run by the ComfyUI at `url`."""
    settings = ServiceSettings(api_keys=keys)

    def opening() -> AbstractAsyncContextManager[Tasks]:
        from ..engine.comfyui import ComfyEngine
        from ..queue.tasks import Tasks

        return Tasks.open(folder, ComfyEngine(url), settings)

    app = build_app(settings, opening, prefix=PREFIX, lazy=True)

    async def resume(app: web.Application) -> None:
        """Go on with what an earlier start left unfinished. ComfyUI itself must start whatever happens here."""
        from ..queue.database import NAME

        if (folder / NAME).exists():
            app[CONTEXT].open_soon()

    app.on_startup.append(resume)
    return app


async def _with_slash(request: web.Request) -> web.Response:
    raise web.HTTPPermanentRedirect(f"{PREFIX}/")

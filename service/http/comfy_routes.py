"""The task API in ComfyUI's server, below /acestep-xl."""

from __future__ import annotations

import logging
import os
from contextlib import AbstractAsyncContextManager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from ..settings import ServiceSettings
from .access import KEY_VARIABLE, format_host, is_loopback, split_keys
from .app import build_app
from .comfy_sources import PATH as SOURCES
from .comfy_sources import copy_result
from .context import CONTEXT

if TYPE_CHECKING:  # loaded with the first task, since ComfyUI imports this file at its start
    from ..queue.tasks import Tasks

_logger = logging.getLogger("acestep_xl")
PREFIX = "/acestep-xl"


@cache
def register() -> None:
    """Connect to the server of the ComfyUI that is loading the pack: its prompts are watched, so that whole graphs can
    be checked, and the routes are added; the queue is opened with the first task.

    Where other machines can reach ComfyUI, the task API needs an API key in the environment.
    """
    from ...host import comfy_server

    comfy_server.watch_prompts()
    comfy_server.add_post(SOURCES, copy_result)
    keys = split_keys(os.environ.get(KEY_VARIABLE, ""))
    if not keys and not all(is_loopback(format_host(address)) for address in comfy_server.listen_addresses()):
        _logger.info("the task API at %s is off: other machines can reach this ComfyUI; set %s", PREFIX, KEY_VARIABLE)
        return
    comfy_server.mount(
        PREFIX,
        application(comfy_server.user_directory() / "acestep-xl", comfy_server.local_url(), keys),
        _redirect_to_page,
    )


def application(folder: Path, url: str, keys: tuple[str, ...]) -> web.Application:
    """The application: its queue and results are in `folder`, and the ComfyUI at `url` runs its graphs."""
    settings = ServiceSettings(api_keys=keys)

    def open_tasks() -> AbstractAsyncContextManager[Tasks]:
        from ..engine.comfyui import ComfyEngine
        from ..queue.tasks import Tasks

        return Tasks.open(folder, ComfyEngine(url), settings)

    app = build_app(settings, open_tasks, prefix=PREFIX, lazy=True)

    async def resume(app: web.Application) -> None:
        """Continue the unfinished tasks of an earlier start. A failure must not keep ComfyUI from starting."""
        from ..queue.database import FILE_NAME

        if (folder / FILE_NAME).exists():
            app[CONTEXT].open_in_background()

    app.on_startup.append(resume)
    return app


async def _redirect_to_page(request: web.Request) -> web.Response:
    raise web.HTTPPermanentRedirect(f"{PREFIX}/")

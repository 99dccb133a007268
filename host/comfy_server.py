"""ComfyUI's web server: its routes, its address and the hints on its nodes. Imported only when ComfyUI runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import folder_paths  # pyright: ignore[reportMissingImports]  # ComfyUI cannot be installed
from comfy.cli_args import args as comfy_args  # pyright: ignore[reportMissingImports]

from .submission import Submission, remember

HINTS = "acestep_xl.hints"  # the browser side listens for it


def mount(prefix: str, app: Any, redirect: Any) -> None:
    """Add an aiohttp application to ComfyUI's server below a path.

    Does nothing if ComfyUI's nodes are used without a server, or the server already runs and takes no new routes.
    redirect: handles the path without a slash at its end.
    """
    server = _prompt_server()
    if server is not None and not server.app.frozen:
        server.app.router.add_get(prefix, redirect)
        server.app.add_subapp(prefix, app)


def add_post(path: str, handler: Any) -> None:
    """Let an aiohttp handler answer POST requests, below ComfyUI's /api too; for the rest see `mount`."""
    server = _prompt_server()
    if server is not None and not server.app.frozen:
        server.routes.post(path)(handler)


def show_hints(prompt: str, node: str, hints: Sequence[str]) -> None:
    """Show hints on a node of a running prompt, in the browser that queued it and on the workflow it queued.

    Nothing without a server, or for a prompt that no browser queued: ComfyUI sends what has no receiver to everybody.
    """
    server = _prompt_server()
    if server is not None and server.client_id is not None:
        content = {"workflow": _workflow_of(server, prompt), "node": node, "hints": [*hints]}
        server.send_sync(HINTS, content, server.client_id)


def _workflow_of(server: Any, prompt: str) -> str | None:
    """The id of the editor's workflow that a running prompt was made from; None for a prompt from elsewhere."""
    running, _ = server.prompt_queue.get_current_queue_volatile()
    entry: Any = next((extra for _, prompt_id, _, extra, *_ in running if prompt_id == prompt), None)
    for key in ("extra_pnginfo", "workflow", "id"):
        entry = entry.get(key) if isinstance(entry, dict) else None
    return entry


def watch_prompts() -> None:
    """Let checks of one node's inputs see the whole graph, which ComfyUI does not hand to them."""
    server = _prompt_server()
    if server is not None and _remember_prompt not in server.on_prompt_handlers:
        server.add_on_prompt_handler(_remember_prompt)


def _remember_prompt(request: dict[str, Any]) -> dict[str, Any]:
    extra = request.get("extra_data")
    remember(Submission.of(request.get("prompt"), extra.get("extra_pnginfo") if isinstance(extra, dict) else None))
    return request


def listen_addresses() -> tuple[str, ...]:
    """The addresses ComfyUI's server listens on."""
    return tuple(address.strip() for address in comfy_args.listen.split(","))


def local_url() -> str:
    """The URL of ComfyUI's server on this machine."""
    first = listen_addresses()[0]
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(first, first)
    host = f"[{address}]" if ":" in address else address
    secure = comfy_args.tls_keyfile and comfy_args.tls_certfile
    return f"http{'s' if secure else ''}://{host}:{comfy_args.port}"


def user_directory() -> Path:
    return Path(folder_paths.get_user_directory())


def _prompt_server() -> Any:
    """ComfyUI's PromptServer; None where its nodes are used without one."""
    return getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)

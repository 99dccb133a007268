"""ComfyUI's web server: its routes, its address and the text on its nodes. Imported only when ComfyUI runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import folder_paths  # pyright: ignore[reportMissingImports]  # ComfyUI cannot be installed
from comfy.cli_args import args as comfy_args  # pyright: ignore[reportMissingImports]


def mount(prefix: str, app: Any, redirect: Any) -> None:
    """Add an aiohttp application to ComfyUI's server below a path.

    Does nothing if ComfyUI's nodes are used without a server, or the server already runs and takes no new routes.
    redirect: handles the path without a slash at its end.
    """
    server = _prompt_server()
    if server is not None and not server.app.frozen:
        server.app.router.add_get(prefix, redirect)
        server.app.add_subapp(prefix, app)


def show_text(node_id: str, text: str) -> None:
    """Show a text on a node, in the browser that queued it; nothing without a server."""
    server = _prompt_server()
    if server is not None:
        server.send_progress_text(text, node_id, server.client_id)


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

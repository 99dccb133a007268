"""What the pack needs from the environment it runs in, behind one protocol.

Nodes call `current_host()` and never learn which host it is. Importing this package imports neither torch nor
ComfyUI.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .protocol import Host

_override: ContextVar[Host | None] = ContextVar("acestep_xl_host", default=None)


def current_host() -> Host:
    """The host set by `use`; else ComfyUI's if ComfyUI is running; else a headless one on the default folders."""
    host = _override.get()
    if host is not None:
        return host
    return _comfy() if inside_comfyui() else _headless()


def inside_comfyui() -> bool:
    """Whether ComfyUI runs in this process."""
    return "comfy.model_management" in sys.modules


@contextmanager
def use(host: Host) -> Iterator[Host]:
    """Make `host` the current one inside the block, in this thread or task only."""
    token = _override.set(host)
    try:
        yield host
    finally:
        _override.reset(token)


@cache
def _comfy() -> Host:
    from .comfy import ComfyHost

    return ComfyHost()


@cache
def _headless() -> Host:
    from pathlib import Path

    from .headless import HeadlessHost
    from .model_folders import search_roots

    return HeadlessHost(search_roots(()), Path("output"))

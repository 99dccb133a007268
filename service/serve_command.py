"""The serve command: the task API as a server of its own."""

from __future__ import annotations

import argparse
import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import parameters
from ..host.model_folders import data_directory, search_roots
from ..runner.cli import Command
from ..runner.terminal import OK, UsageError, print_status
from .http.access import KEY_VARIABLE, format_host, is_loopback, split_keys

if TYPE_CHECKING:
    from .settings import ServiceSettings

NUMBERS = ("price_per_hour", "max_queue", "sync_timeout", "keep_hours", "media_mib")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Options of the command; their ranges are checked with all other settings."""
    command.add_argument("--demo", action="store_true", help="use the tiny built-in network, which makes simple tunes")
    for name in ("host", "port", "public_url", *NUMBERS):
        entry = parameters.get(f"service_{name}")
        kinds: dict[str, type] = {"INT": int, "FLOAT": float, "STRING": str}
        shown = f" ({entry.default})" if entry.default != "" else ""
        command.add_argument(
            f"--{name.replace('_', '-')}",
            type=kinds[entry.kind],
            default=entry.default,
            metavar={"INT": "N", "FLOAT": "X", "STRING": "TEXT"}[entry.kind],
            help=entry.help.replace("%", "%%") + shown,
        )
    command.add_argument(
        "--allow-private", action="store_true", help=parameters.get("service_allow_private").help.replace("%", "%%")
    )
    command.add_argument(
        "--api-key",
        action="append",
        default=[],
        metavar="KEY",
        help=f"accepted API key (repeatable); others on this machine can read a command line, so {KEY_VARIABLE} in the "
        "environment is the better place",
    )
    command.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="URL",
        help="another site, such as https://studio.example, whose pages may use the server (repeatable)",
    )
    command.add_argument(
        "--data", type=Path, metavar="DIR", help="where the queue and the results are kept (the user's data folder)"
    )
    command.add_argument("--device", metavar="D", help="cuda, cuda:1, xpu, mps or cpu (the best one present)")


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal stops it, and return the exit code. Raises UsageError before anything has started."""
    settings = read_settings(arguments, os.environ.get(KEY_VARIABLE, ""))
    folder = (arguments.data or data_directory() / "service").expanduser().absolute()
    from .engine.in_process import HeadlessEngine
    from .http.server import bind, serve
    from .queue.database import FolderInUse, DatabaseDamaged

    try:
        engine = HeadlessEngine(folder / "work", search_roots(settings.models), settings.device)
    except ValueError as error:
        raise UsageError([str(error)]) from error
    try:
        listening = bind(settings.host, settings.port)
    except OSError as error:
        raise UsageError([f"cannot listen on {settings.host} port {settings.port}: {error}"]) from error
    settings = replace(settings, port=listening.getsockname()[1])
    try:
        asyncio.run(serve(settings, folder, engine, listening, print_status))
    except (FolderInUse, DatabaseDamaged, ValueError) as error:
        raise UsageError([str(error)]) from error
    return OK


def read_settings(arguments: argparse.Namespace, keys: str) -> ServiceSettings:
    """Settings from the command line. keys: API keys from the environment, apart by commas or spaces.

    Raises UsageError with everything that is wrong.
    """
    from .settings import ServiceSettings

    accepted = (*arguments.api_key, *split_keys(keys))
    if not accepted and not is_loopback(format_host(arguments.host)):
        words = f"listening on {arguments.host!r} lets others reach the server, which needs an API key"
        raise UsageError([f"{words}: set {KEY_VARIABLE} in the environment, or listen on 127.0.0.1"])
    given: dict[str, Any] = {name: getattr(arguments, name) for name in ("host", "port", "public_url", *NUMBERS)}
    try:
        return ServiceSettings(
            **given,
            api_keys=accepted,
            allowed_origins=tuple(arguments.allow_origin),
            allow_private=arguments.allow_private,
            demo=arguments.demo,
            models=tuple(arguments.models),
            device=arguments.device,
        )
    except ValueError as error:
        raise UsageError([str(error)]) from error


SERVE = Command(
    "serve",
    "serve the task API and a page to try it",
    "Serve the task API over HTTP and WebSocket, with a page for people at /. Without further options only this "
    "machine can reach it.",
    add_arguments,
    run,
)

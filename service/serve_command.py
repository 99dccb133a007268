"""The serve command: the task API as a server."""

from __future__ import annotations

import argparse
import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import parameters
from ..host.model_folders import data_directory, search_roots
from ..parameters.kind import Parameter
from ..runner.cli import Command
from ..runner.terminal import OK, UsageError, print_status
from .http.access import KEY_VARIABLE, format_host, is_loopback, split_keys
from .settings import ServiceSettings

NUMBERS = ("price_per_hour", "max_queue", "sync_timeout", "keep_hours", "media_mib")
OPTION_KINDS: dict[str, tuple[type, str]] = {"INT": (int, "N"), "FLOAT": (float, "X"), "STRING": (str, "TEXT")}


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Options of the command. ServiceSettings checks their ranges."""
    command.add_argument("--demo", action="store_true", help="use the tiny built-in network, which makes simple tunes")
    for name in ("host", "port", "public_url", *NUMBERS):
        _add_setting(command, parameters.get(f"service_{name}"), f"--{name.replace('_', '-')}")
    command.add_argument(
        "--allow-private", action="store_true", help=parameters.get("service_allow_private").help.replace("%", "%%")
    )
    command.add_argument(
        "--api-key",
        action="append",
        default=[],
        metavar="KEY",
        help=f"accepted API key (repeatable); other users of this machine can read command lines, so prefer "
        f"{KEY_VARIABLE} in the environment",
    )
    command.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="URL",
        help="another site, such as https://studio.example, whose pages may use the server (repeatable)",
    )
    command.add_argument(
        "--data", type=Path, metavar="DIR", help="folder for the queue and the results (the user's data folder)"
    )
    command.add_argument("--device", metavar="D", help="cuda, cuda:1, xpu, mps or cpu (the best one present)")


def _add_setting(command: argparse.ArgumentParser, parameter: Parameter, option: str) -> None:
    kind, metavar = OPTION_KINDS[parameter.kind]
    default = f" ({parameter.default})" if parameter.default != "" else ""
    command.add_argument(
        option,
        type=kind,
        default=parameter.default,
        metavar=metavar,
        help=parameter.help.replace("%", "%%") + default,
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal stops it, and return the exit code. Raises UsageError if it cannot start."""
    settings = read_settings(arguments, os.environ.get(KEY_VARIABLE, ""))
    folder = (arguments.data or data_directory() / "service").expanduser().absolute()
    from .engine.in_process import HeadlessEngine
    from .http.server import bind, serve
    from .queue import crash_signs, data_folder
    from .queue.database import DatabaseDamaged, FolderInUse

    try:
        data_folder.prepare(folder)
        crash_signs.record_crashes(folder)
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
    """Settings from the command line. keys: API keys from the environment, separated by commas or spaces.

    Raises UsageError with everything that is wrong.
    """
    accepted = (*arguments.api_key, *split_keys(keys))
    if not accepted and not is_loopback(format_host(arguments.host)):
        problem = f"listening on {arguments.host!r} lets others reach the server, which requires an API key"
        raise UsageError([f"{problem}: set {KEY_VARIABLE} in the environment, or listen on 127.0.0.1"])
    values: dict[str, Any] = {name: getattr(arguments, name) for name in ("host", "port", "public_url", *NUMBERS)}
    try:
        return ServiceSettings(
            **values,
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
    "Serve the task API over HTTP and WebSocket, with a page to try it at /. By default only this machine can reach "
    "the server.",
    add_arguments,
    run,
)

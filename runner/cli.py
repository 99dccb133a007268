"""The command line: acestep-xl run, plot, plan, models, download. Heavy imports wait until a command needs them."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..host.model_folders import KINDS, data_directory, folders_in, names_in, search_roots
from . import plan_command
from .download import BUNDLES, DownloadError, download, find_bundle
from .run_command import FAILED, INTERRUPTED, OK, run
from .terminal import UsageError, say, show

if TYPE_CHECKING:
    from .node_table import NodeTable

BAD_USAGE = 2


@dataclass(frozen=True)
class Command:
    """A command of another folder, which hands it to `main`; the runner knows only its own."""

    name: str
    help: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None, table: NodeTable | None = None, commands: Sequence[Command] = ()) -> int:
    """Run the command line and return its exit code.

    table: other nodes than the shipped ones, for tests. commands: more of them beside the runner's own.
    """
    arguments = _parser(commands).parse_args(argv)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    logging.getLogger("acestep_xl").setLevel(logging.INFO)
    try:
        code = _carry_out(arguments, table)
        sys.stdout.flush()
        return code
    except UsageError as error:
        say(str(error))
        if getattr(arguments, "json", False):
            show(json.dumps({"status": "invalid", "problems": error.faults}))
        return BAD_USAGE
    except DownloadError as error:
        say(f"error: {error}")
        return FAILED
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader left early, as `| head` does. Python would complain once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _carry_out(arguments: argparse.Namespace, table: NodeTable | None) -> int:
    if arguments.carry_out is not None:
        return arguments.carry_out(arguments)
    if arguments.command in ("run", "plot", "plan"):
        return run(arguments, table)
    return _models(arguments) if arguments.command == "models" else _download(arguments)


def _parser(more: Sequence[Command]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="acestep-xl", description="ACE-Step 1.5 XL: captions and lyrics to songs.")
    parser.set_defaults(carry_out=None)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    runs = commands.add_parser("run", help="run a workflow", description="Run a ComfyUI workflow without ComfyUI.")
    plots = commands.add_parser(
        "plot",
        help="run a workflow and draw its schedules and runs",
        description="Run a workflow and draw, for every sampler, its schedule and what guidance did.",
    )
    plans = commands.add_parser(
        "plan",
        help="say what a workflow needs of memory",
        description="Say what a workflow will hold in memory, and whether a card is large enough, without running it.",
    )
    for command in (runs, plots, plans):
        _add_workflow_arguments(command)
    for command in (runs, plots):
        command.add_argument(
            "--output", type=Path, default=Path("output"), metavar="DIR", help="where files go (./output)"
        )
    plan_command.add_arguments(plans)

    models = commands.add_parser("models", help="say which model files are found and where it looked")

    fetch = commands.add_parser("download", help="fetch model files by name", description="Fetch model files by name.")
    fetch.add_argument("name", nargs="?", metavar="NAME", help=", ".join(BUNDLES))
    fetch.add_argument("--list", action="store_true", help="list the bundles and their files")

    others = [commands.add_parser(entry.name, help=entry.help, description=entry.description) for entry in more]
    for entry, command in zip(more, others, strict=True):
        entry.add_arguments(command)
        command.set_defaults(carry_out=entry.run)

    for command in (runs, plots, plans, models, fetch, *others):
        command.add_argument(
            "--models",
            action="append",
            default=[],
            type=Path,
            metavar="DIR",
            help="a folder with ComfyUI's model subfolders, searched first (repeatable)",
        )
    return parser


def _add_workflow_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("workflow", metavar="WORKFLOW", help="a workflow JSON, or the name of a shipped one")
    command.add_argument("--demo", action="store_true", help="use the tiny built-in network, which makes simple tunes")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NODE.INPUT=VALUE",
        dest="settings",
        help="set an input; NODE is an id, title or class (repeatable)",
    )
    command.add_argument("--device", metavar="D", help="cuda, cuda:1, xpu, mps or cpu (the best one present)")
    command.add_argument("--json", action="store_true", help="print one JSON object instead of file names")


def _models(arguments: argparse.Namespace) -> int:
    folders = folders_in(search_roots(arguments.models))
    for kind in KINDS:
        show(f"{kind}:")
        for name in names_in(kind, folders[kind]) or ["(none)"]:
            show(f"  {name}")
        for folder in folders[kind]:
            show(f"    looked in {folder}" + ("" if folder.is_dir() else " (no such folder)"))
    return OK


def _download(arguments: argparse.Namespace) -> int:
    if arguments.list:
        for name, sources in BUNDLES.items():
            show(f"{name}:")
            for source in sources:
                show(f"  {source.target}  from  {source.repo}/{source.path}")
        return OK
    if arguments.name is None:
        raise UsageError([f"name a bundle ({', '.join(BUNDLES)}) or give --list"])
    try:
        sources = find_bundle(arguments.name)
    except ValueError as error:
        raise UsageError([str(error)]) from error
    if not sys.stderr.isatty():
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
    root = arguments.models[0] if arguments.models else data_directory() / "models"
    for path in download(sources, root.expanduser().absolute(), say):
        show(path)
    return OK


if __name__ == "__main__":
    sys.exit(main())

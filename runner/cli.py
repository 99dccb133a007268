"""The acestep-xl command line. Importing it is quick: a command imports torch when it runs."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from . import (
    adapter_command,
    convert_command,
    download_command,
    merge_command,
    models_command,
    plan_command,
    plot_command,
    run_command,
)
from .node_table import NodeTable
from .terminal import BAD_USAGE, FAILED, INTERRUPTED, UsageError, print_result, print_status


@dataclass(frozen=True)
class Command:
    """A subcommand. run: returns the exit code; may raise UsageError."""

    name: str
    help: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None, table: NodeTable | None = None, commands: Sequence[Command] = ()) -> int:
    """Run the command line and return its exit code.

    table: node classes in place of the shipped ones, for tests. commands: added to the runner's own.
    """
    arguments = build_parser(commands, table).parse_args(argv)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    logging.getLogger("acestep_xl").setLevel(logging.INFO)
    try:
        code = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except UsageError as error:
        print_status(str(error))
        if getattr(arguments, "json", False):
            print_result(json.dumps({"status": "invalid", "problems": error.problems}))
        return BAD_USAGE
    except KeyboardInterrupt:
        print_status("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader closed the pipe, as `| head` does; without this, Python complains again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def build_parser(commands: Sequence[Command] = (), table: NodeTable | None = None) -> argparse.ArgumentParser:
    """The parser of the runner's commands, followed by `commands`."""
    parser = argparse.ArgumentParser(
        prog="acestep-xl", description="Turn captions and lyrics into songs with ACE-Step 1.5 XL."
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (*_workflow_commands(table), *_file_commands(), *commands):
        subparser = subparsers.add_parser(command.name, help=command.help, description=command.description)
        command.add_arguments(subparser)
        subparser.add_argument(
            "--models",
            action="append",
            default=[],
            type=Path,
            metavar="DIR",
            help="a folder with ComfyUI's model subfolders, or a file like its extra_model_paths.yaml, searched first "
            "(repeatable)",
        )
        subparser.set_defaults(run=command.run)
    return parser


def _workflow_commands(table: NodeTable | None) -> tuple[Command, ...]:
    return (
        Command(
            "run",
            "run a workflow",
            "Run a ComfyUI workflow without ComfyUI.",
            run_command.add_arguments,
            partial(run_command.run, table=table),
        ),
        Command(
            "plot",
            "run a workflow and plot its schedules and runs",
            "Run a workflow and plot, for every sampler, its schedule and the effect of its guidance.",
            run_command.add_arguments,
            partial(plot_command.plot, table=table),
        ),
        Command(
            "plan",
            "show how much memory a workflow needs",
            "Show what a workflow will hold in memory and whether a card is large enough, without running it.",
            plan_command.add_arguments,
            partial(plan_command.plan, table=table),
        ),
        Command(
            "convert",
            "rewrite a workflow of ComfyUI's own nodes",
            "Rewrite a workflow of ComfyUI's own ACE-Step 1.5 nodes into this pack's, and list what changed and what "
            "each change does to the sound.",
            convert_command.add_arguments,
            partial(convert_command.convert_workflow, table=table),
        ),
    )


def _file_commands() -> tuple[Command, ...]:
    return (
        Command(
            "adapter",
            "say what an adapter file is",
            "Say what a LoRA or another adapter is: kind, layout, rank, scale, layers, and which checkpoints it fits.",
            adapter_command.add_arguments,
            adapter_command.print_adapter,
        ),
        Command(
            "merge",
            "write a checkpoint with adapters merged in",
            "Write a checkpoint with adapters merged in, in another number format or the same.",
            merge_command.add_arguments,
            merge_command.merge,
        ),
        Command(
            "models",
            "list model files and the folders searched",
            "List the model files of each kind and the folders searched for them.",
            models_command.add_arguments,
            models_command.print_models,
        ),
        Command(
            "download",
            "download model files by name",
            "Download a bundle of model files into the first --models folder, or into the user's data folder.",
            download_command.add_arguments,
            download_command.download_bundle,
        ),
    )


if __name__ == "__main__":
    sys.exit(main())

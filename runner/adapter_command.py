"""The adapter command: says what an adapter file is."""

from __future__ import annotations

import argparse
import json

from ..host import use
from .terminal import OK, UsageError, print_result
from .workflow_input import create_host


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Options of adapter."""
    command.add_argument("file", metavar="FILE", help="a file or a trainer's folder, or a name in the folder loras")
    command.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    command.set_defaults(device="cpu")  # nothing is computed


def print_adapter(arguments: argparse.Namespace) -> int:
    """Print what the file is, and return the exit code. Raises UsageError with everything that is wrong with it."""
    from ..nodes.table import AdapterTools

    with use(create_host(arguments, None)):
        try:
            words, facts = AdapterTools.describe(arguments.file)
        except (OSError, ValueError) as error:
            raise UsageError([str(error)]) from error
    if arguments.json:
        print_result(json.dumps({"status": "ok", **facts}))
        return OK
    print_result(words)
    if len(facts["scales"]) == 1:
        print_result(f"factor: {facts['scales'][0]:g}")
    elif facts["scales"]:
        print_result(f"factors: {facts['scales'][0]:g} to {facts['scales'][-1]:g}")
    return OK

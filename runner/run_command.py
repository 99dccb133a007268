"""The run command: a workflow file in, files out."""

from __future__ import annotations

import argparse
import json
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from ..host import use
from ..host.headless import HeadlessHost, Interrupted
from . import workflow_input
from .execute import NodeError, execute
from .node_table import NodeTable
from .plan_command import announce
from .terminal import FAILED, INTERRUPTED, OK, Reporter, print_result, print_status
from .workflow_input import Edit, create_host, prepare, read_input


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Options of run and plot."""
    workflow_input.add_arguments(command)
    command.add_argument(
        "--output", type=Path, default=Path("output"), metavar="DIR", help="folder for the files (default: ./output)"
    )


def run(arguments: argparse.Namespace, table: NodeTable | None, edit: Edit | None = None) -> int:
    """Run a workflow and return the exit code. Raises UsageError before anything runs.

    table: the node classes; None for the shipped ones. edit: changes the graph before it is validated.
    """
    source = read_input(arguments)
    reporter = Reporter()
    host = create_host(arguments, arguments.output, reporter.bar)
    with use(host):
        table = table or NodeTable.shipped()
        workflow = prepare(source, table, edit)
        try:
            with _stop_on_ctrl_c(host):
                announce(workflow.graph, table, host)
                ui_outputs = execute(workflow.graph, table, host, workflow.saved, reporter.on_node)
        except NodeError as error:
            return _report_failure(error, arguments.json)
        except Interrupted:
            return _report_interrupt(arguments.json)
    _print_files(ui_outputs, host, arguments.json)
    return OK


@contextmanager
def _stop_on_ctrl_c(host: HeadlessHost) -> Iterator[None]:
    """Inside the block the first Ctrl-C asks the run to stop and the second one kills the process."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        host.interrupt()
        print_status("stopping; press Ctrl-C again to kill")

    previous = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def _report_failure(error: NodeError, as_json: bool) -> int:
    from ..host.offload.accelerator import OutOfMemory

    # A wrong value or a missing file explains itself; anything else is a bug, which needs its traceback.
    if not isinstance(error.__cause__, (ValueError, OSError, OutOfMemory)):
        print_status("".join(traceback.format_exception(error.__cause__)).rstrip())
    print_status(f"error: {error}")
    if as_json:
        print_result(json.dumps({"status": "failed", "error": str(error)}))
    return FAILED


def _report_interrupt(as_json: bool) -> int:
    print_status("interrupted")
    if as_json:
        print_result(json.dumps({"status": "interrupted"}))
    return INTERRUPTED


def _print_files(ui_outputs: dict[str, dict[str, Any]], host: HeadlessHost, as_json: bool) -> None:
    """Print the files among the ui outputs, ComfyUI's {"filename", "subfolder", "type"}, one path per line."""
    entries = [entry for ui in ui_outputs.values() for values in ui.values() for entry in values]
    entries = [entry for entry in entries if isinstance(entry, dict) and "filename" in entry]
    files = [_path(entry, host) for entry in entries]
    if previews := sum(entry.get("type") == "temp" for entry in entries):
        print_status(f"{previews} of {len(files)} files are previews in the temporary folder, which is not kept")
    if as_json:
        result = {"status": "ok", "files": [str(file) for file in files], "ui": ui_outputs}
        print_result(json.dumps(result, default=str))
        return
    for file in files:
        print_result(file)


def _path(entry: dict[str, Any], host: HeadlessHost) -> Path:
    folder = host.temp_directory() if entry.get("type") == "temp" else host.output_directory()
    return folder / entry.get("subfolder", "") / entry["filename"]

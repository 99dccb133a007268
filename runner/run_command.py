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
from typing import TYPE_CHECKING, Any

from ..host.model_folders import search_roots
from . import plan_command
from .terminal import Reporter, UsageError, say, show

if TYPE_CHECKING:
    from ..host.headless import HeadlessHost
    from .graph import Workflow
    from .node_table import NodeTable
    from .settings import Assignment

OK, FAILED, INTERRUPTED = 0, 1, 130
SHIPPED = Path(__file__).parent.parent / "workflows"
MISSING_FILE_NOTE = (
    "A model file is missing: acestep-xl models says what is there, acestep-xl download xl-sft fetches the standard "
    "files, and --demo runs without any."
)


def run(arguments: argparse.Namespace, table: NodeTable | None) -> int:
    """Carry out `acestep-xl run`, `plot`, which also draws what the samplers did, or `plan`, which only says what a run
    would take, and return the exit code.

    Raises UsageError before anything has run.
    """
    from .graph import WorkflowError
    from .read import load_json
    from .settings import parse_assignment

    if arguments.command == "plan":
        plan_command.check(arguments)
    # What can be wrong without torch is found before torch takes its seconds to import.
    try:
        assignments = [parse_assignment(text) for text in arguments.settings]
        data = load_json(_find_workflow(arguments.workflow))
    except (WorkflowError, ValueError) as error:
        raise UsageError([str(error)]) from error

    from ..host import use
    from ..host.headless import HeadlessHost, Interrupted, pick_device
    from .execute import NodeError, execute
    from .node_table import NodeTable

    reporter = Reporter()
    try:
        pick_device(arguments.device)
    except ValueError as error:
        raise UsageError([str(error)]) from error
    output = getattr(arguments, "output", Path())
    host = HeadlessHost(search_roots(arguments.models), output, reporter.bar, arguments.device)
    with use(host):
        table = table or NodeTable.shipped()
        workflow = _prepare(data, table, assignments, arguments)
        if arguments.command == "plan":
            plan_command.print_plan(workflow.graph, table, arguments)
            return OK
        try:
            with _stopping(host):
                plan_command.announce(workflow.graph, table, host)
                said = execute(workflow.graph, table, host, workflow.editor, reporter.on_node)
        except NodeError as error:
            return _report_failure(error, arguments.json)
        except Interrupted:
            return _report_stop(arguments.json)
    _print_result(said, host, arguments.json)
    return OK


def _find_workflow(name: str) -> Path:
    if Path(name).is_file():
        return Path(name)
    if (SHIPPED / f"{name}.json").is_file() and Path(name).name == name:
        return SHIPPED / f"{name}.json"
    shipped = ", ".join(sorted(path.stem for path in SHIPPED.glob("*.json"))) or "none"
    raise UsageError([f"no workflow file {name!r}; shipped workflows: {shipped}"])


def _prepare(
    data: dict[str, Any], table: NodeTable, assignments: list[Assignment], arguments: argparse.Namespace
) -> Workflow:
    """The workflow with the demo network and settings applied. Raises UsageError with everything wrong."""
    from .graph import WorkflowError
    from .plots import add_plots
    from .read import read_workflow
    from .settings import apply_settings, resolve_assignments, use_demo
    from .validate import validate

    try:
        workflow = read_workflow(data, table)
    except WorkflowError as error:
        raise UsageError([f"{arguments.workflow}: {error}"]) from error
    problems = list(workflow.problems)
    if arguments.demo:
        problems += use_demo(workflow.graph, table)
    settings, unresolved = resolve_assignments(workflow.graph, assignments, table)
    problems += unresolved + apply_settings(workflow.graph, settings, table)
    if arguments.command == "plot":
        problems += add_plots(workflow.graph, f"plots/{Path(arguments.workflow).stem}")
    problems += validate(workflow.graph, table)
    if problems:
        faults = [str(problem) for problem in problems]
        note = MISSING_FILE_NOTE if any(".safetensors" in fault for fault in faults) else ""
        raise UsageError(faults, f"error: {arguments.workflow} cannot run:", note)
    if arguments.demo or assignments:
        workflow.editor = None  # it no longer says what runs; nodes still get the graph itself to store
    return workflow


@contextmanager
def _stopping(host: HeadlessHost) -> Iterator[None]:
    """Inside the block the first Ctrl-C asks the run to stop and the second one kills."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        host.interrupt()
        say("stopping; press Ctrl-C again to kill")

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _report_failure(error: Exception, as_json: bool) -> int:
    # A wrong value or a missing file explains itself; anything else is a fault whose place matters.
    from ..host.offload.accelerator import OutOfMemory

    if not isinstance(error.__cause__, (ValueError, OSError, OutOfMemory)):
        say("".join(traceback.format_exception(error.__cause__)).rstrip())
    say(f"error: {error}")
    if as_json:
        show(json.dumps({"status": "failed", "error": str(error)}))
    return FAILED


def _report_stop(as_json: bool) -> int:
    say("interrupted")
    if as_json:
        show(json.dumps({"status": "interrupted"}))
    return INTERRUPTED


def _print_result(said: dict[str, dict[str, Any]], host: HeadlessHost, as_json: bool) -> None:
    """The files that nodes told of, as ComfyUI's {"filename", "subfolder", "type"}, one path a line."""
    entries = [entry for told in said.values() for values in told.values() for entry in values]
    files = [_path(entry, host) for entry in entries if isinstance(entry, dict) and "filename" in entry]
    if as_json:
        show(json.dumps({"status": "ok", "files": [str(file) for file in files], "ui": said}, default=str))
        return
    for file in files:
        show(file)


def _path(entry: dict[str, Any], host: HeadlessHost) -> Path:
    folder = host.temp_directory() if entry.get("type") == "temp" else host.output_directory()
    return folder / entry.get("subfolder", "") / entry["filename"]

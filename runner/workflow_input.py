"""What run, plot and plan share: their options, and the way from those to a checked workflow and its host."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..host.headless import HeadlessHost, pick_device
from ..host.model_folders import search_roots
from ..host.protocol import Progress
from .graph import Graph, Problem, Workflow, WorkflowError
from .node_table import NodeTable
from .settings import Assignment, apply_settings, parse_assignment, resolve_assignments, use_demo
from .shipped import SHIPPED
from .terminal import UsageError, print_status
from .validate import validate
from .workflow.foreign_classes import headline
from .workflow.read import load_json, read_workflow

MISSING_FILE_NOTE = (
    "A model file is missing: acestep-xl models lists the files found, acestep-xl download xl-sft downloads the "
    "standard ones, and --demo needs none."
)

Edit = Callable[[Graph], list[Problem]]


@dataclass(frozen=True)
class WorkflowInput:
    """A workflow file's content and the settings to apply to it."""

    name: str
    data: dict[str, Any]
    assignments: list[Assignment]
    demo: bool


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Options of every command that takes a workflow."""
    command.add_argument("workflow", metavar="WORKFLOW", help="a workflow JSON file, or the name of a shipped workflow")
    command.add_argument("--demo", action="store_true", help="use the tiny built-in network, which makes simple tunes")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NODE.INPUT=VALUE",
        dest="settings",
        help="set an input; NODE is an id, title or class (repeatable)",
    )
    command.add_argument("--device", metavar="D", help="cuda, cuda:1, xpu, mps or cpu (default: the best available)")
    command.add_argument("--json", action="store_true", help="print one JSON object instead of file names")


def read_input(arguments: argparse.Namespace) -> WorkflowInput:
    """Read everything that does not need torch, which takes seconds to import. Raises UsageError."""
    try:
        assignments = [parse_assignment(text) for text in arguments.settings]
        data = load_json(find_workflow(arguments.workflow))
    except ValueError as error:
        raise UsageError([str(error)]) from error
    return WorkflowInput(arguments.workflow, data, assignments, arguments.demo)


def create_host(
    arguments: argparse.Namespace, output: Path | None, progress: Callable[[int], Progress] | None = None
) -> HeadlessHost:
    """The host on the chosen device. Imports torch.

    Raises UsageError for a device that this machine lacks, and for a damaged extra_model_paths.yaml.
    """
    try:
        pick_device(arguments.device)
        return HeadlessHost(search_roots(arguments.models), output, progress, arguments.device)
    except ValueError as error:
        raise UsageError([str(error)]) from error


def prepare(source: WorkflowInput, table: NodeTable, edit: Edit | None = None) -> Workflow:
    """The workflow with the demo network and the settings applied, edited, and validated.

    Raises UsageError with everything wrong.
    """
    try:
        workflow = read_workflow(source.data, table)
    except WorkflowError as error:
        raise UsageError([f"{source.name}: {error}"]) from error
    graph = workflow.graph
    for notice in workflow.notices:
        print_status(notice)
    lead = headline(graph, table)
    problems = [*([Problem(lead)] if lead else []), *workflow.problems]
    if graph or not problems:  # a damaged file says nothing about its nodes
        problems += _edit_and_validate(graph, source, table, edit)
    if problems:
        messages = [str(problem) for problem in problems]
        note = MISSING_FILE_NOTE if any(".safetensors" in message for message in messages) else ""
        raise UsageError(messages, f"error: {source.name} cannot run:", note)
    if source.demo or source.assignments:
        workflow.saved = None  # it no longer matches the graph, which nodes store as well
    return workflow


def _edit_and_validate(graph: Graph, source: WorkflowInput, table: NodeTable, edit: Edit | None) -> list[Problem]:
    problems = use_demo(graph, table) if source.demo else []
    settings, unresolved = resolve_assignments(graph, source.assignments, table)
    problems += unresolved + apply_settings(graph, settings, table)
    if edit is not None:
        problems += edit(graph)
    return problems + validate(graph, table)


def find_workflow(name: str) -> Path:
    """The file of that name, or the shipped workflow. Raises UsageError."""
    if Path(name).is_file():
        return Path(name)
    if name in SHIPPED:
        return SHIPPED[name]
    raise UsageError([f"no workflow file {name!r}; shipped workflows: {', '.join(SHIPPED)}"])

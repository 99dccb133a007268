"""The convert command: a workflow of ComfyUI's own ACE-Step 1.5 nodes becomes one of this pack's."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from ..host import use
from .convert.editor_file import to_editor
from .convert.replacements import FITS, GUIDANCE, REPLACEMENTS, convert
from .convert.report import as_json, lines, stale_tokens
from .convert.rewrite import Rewrite
from .convert.source import Source, read_source
from .graph import WorkflowError
from .node_table import NodeTable
from .terminal import OK, UsageError, print_result, print_status
from .workflow.foreign_classes import explanation
from .workflow.read import load_json
from .workflow_input import create_host, find_workflow


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Options of convert."""
    command.add_argument("workflow", metavar="WORKFLOW", help="a workflow JSON file, saved from ComfyUI or for its API")
    command.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT.json", help="the file to write, for ComfyUI's editor"
    )
    command.add_argument(
        "--guidance",
        choices=GUIDANCE,
        default=GUIDANCE[0],
        help="cfg keeps the sound of the graph's guidance; official takes APG at the same scale (default: cfg)",
    )
    command.add_argument("-f", "--force", action="store_true", help="overwrite an existing OUT.json")
    command.add_argument("--json", action="store_true", help="print one JSON object instead of the list")
    command.set_defaults(device="cpu")  # nothing is computed


def convert_workflow(arguments: argparse.Namespace, table: NodeTable | None) -> int:
    """Write the converted workflow, list what changed and what it does to the sound, and return the exit code.

    Raises UsageError before anything is written. table: the node classes; None for the shipped ones.
    """
    output: Path = arguments.output
    _check_output(output, arguments.force)
    with use(create_host(arguments, None)):
        table = table or NodeTable.shipped()
        source = _read(arguments.workflow, table)
        rewrite = convert(source.graph, table, arguments.guidance, source.controls)
        if not rewrite.changes:
            raise _nothing(arguments.workflow, rewrite)
        workflow = to_editor(rewrite, source)
    _write(output, workflow)
    notices = [*source.notices, *unset_values(rewrite, source), *stale_tokens(rewrite)]
    if arguments.json:
        print_result(json.dumps({"status": "ok", "file": str(output), **as_json(rewrite, notices)}))
        return OK
    for line in lines(rewrite, notices):
        print_status(line)
    print_result(output)
    return OK


def unset_values(rewrite: Rewrite, source: Source) -> list[str]:
    """Values that have to be set by hand: those of unknown classes, whose positions nobody here knows."""
    notices = []
    for node_id, call in rewrite.graph.items():
        if call.class_type in rewrite.table.classes:
            continue
        values = {name: value for name, value in call.inputs.items() if isinstance(value, (str, int, float))}
        if values and node_id in source.nodes:
            notices.append(f"set by hand in node {node_id} ({call.class_type}): {_listed(values)}")
        elif values:
            notices.append(f"check in node {node_id} ({call.class_type}), unknown here: {_listed(values)}")
    return notices


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {value!r}" for name, value in values.items())


def _read(name: str, table: NodeTable) -> Source:
    try:
        source = read_source(load_json(find_workflow(name)), table)
    except WorkflowError as error:
        raise UsageError([f"{name}: {error}"]) from error
    if source.problems:
        raise UsageError([str(problem) for problem in source.problems], f"error: {name} cannot be converted:")
    return source


def _nothing(name: str, rewrite: Rewrite) -> UsageError:
    """That the graph has nothing to convert, why what could be stays, and what does the work of unknown nodes."""
    stays = [
        f"node {kept.node} ({kept.class_type}) stays: {kept.reason}"
        for kept in rewrite.kept
        if kept.class_type in REPLACEMENTS and kept.reason != FITS
    ]
    unknown = {call.class_type: call for call in rewrite.graph.values() if call.class_type not in rewrite.table.classes}
    foreign = [text for call in unknown.values() if (text := explanation(call, rewrite.graph))]
    note = "  Start from a shipped workflow instead, such as text_to_music, cover or repaint, and set its values."
    return UsageError(
        [*stays, *foreign] or [f"it replaces: {', '.join(REPLACEMENTS)}"],
        f"error: {name} holds no node of ComfyUI's that this pack replaces, in a graph for ACE-Step 1.5:",
        note,
    )


def _check_output(output: Path, force: bool) -> None:
    if output.is_dir():
        raise UsageError([f"{output} is a folder; name a file"])
    if output.exists() and not force:
        raise UsageError([f"{output} exists; choose another name, or overwrite it with --force"])
    if not output.absolute().parent.is_dir():
        raise UsageError([f"the folder {output.parent} does not exist; create it first"])


def _write(output: Path, workflow: dict[str, Any]) -> None:
    """Write the file; it appears under its name once it is complete. Raises UsageError."""
    try:
        partial = output.with_name(f".{output.name}.{os.getpid()}.part")
        try:
            partial.write_text(json.dumps(workflow, indent=2) + "\n", encoding="utf-8")
            os.replace(partial, output)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError([f"cannot write {output}: {error.strerror or error}"]) from error

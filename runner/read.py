"""Reads a workflow file: the format that ComfyUI saves, or its API format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .editor import read_editor
from .graph import Graph, Link, NodeCall, Problem, Workflow, WorkflowError
from .node_table import NodeTable


def load_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises WorkflowError naming the file and the place of the fault."""
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise WorkflowError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise WorkflowError(f"{path} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise WorkflowError(f"{path} holds a {type(data).__name__}; a workflow is a JSON object")
    return data


def read_workflow(data: dict[str, Any], table: NodeTable) -> Workflow:
    """Read the format ComfyUI saves (nodes and links) or the API format ({id: {class_type, inputs}}).

    A {"prompt": ...} envelope as sent to ComfyUI's server is taken for its content.
    Raises WorkflowError for anything else; lesser faults are in the result's problems.
    """
    if isinstance(data.get("nodes"), list):
        graph, problems = read_editor(data, table)
        return Workflow(graph, problems, data)
    if isinstance(data.get("prompt"), dict) and "class_type" not in data["prompt"]:
        data = data["prompt"]
    if not data:
        raise WorkflowError("the workflow is empty")
    if not any(isinstance(node, dict) and "class_type" in node for node in data.values()):
        raise WorkflowError('not a workflow: neither "nodes" (as ComfyUI saves it) nor {id: {"class_type", "inputs"}}')
    graph: Graph = {}
    problems: list[Problem] = []
    for node_id, node in data.items():
        _read_node(node_id, node, table, graph, problems)
    return Workflow(graph, problems)


def _read_node(node_id: str, node: Any, table: NodeTable, graph: Graph, problems: list[Problem]) -> None:
    if not isinstance(node, dict) or not isinstance(node.get("class_type"), str):
        problems.append(Problem("has no class_type; the file is damaged", node_id))
        return
    meta, inputs = node.get("_meta"), node.get("inputs", {})
    title = meta.get("title") if isinstance(meta, dict) else None
    call = NodeCall(node["class_type"], {}, str(title or table.title(node["class_type"])))
    graph[node_id] = call
    if not isinstance(inputs, dict):
        problems.append(Problem(f"inputs must be an object, not {inputs!r}", node_id, call.title))
        return
    for name, value in inputs.items():
        if isinstance(value, list) and not _is_link(value):
            problems.append(Problem(f"{value!r} is no link; a link is [node id, slot]", node_id, call.title, name))
            continue
        call.inputs[name] = _graph_value(value)


def _is_link(value: list[Any]) -> bool:
    return len(value) == 2 and isinstance(value[0], (str, int)) and type(value[1]) is int


def _graph_value(value: Any) -> Any:
    if isinstance(value, list):
        return Link(str(value[0]), value[1])
    # Lists mean links in this format, so ComfyUI wraps a list that is a value.
    return value["__value__"] if isinstance(value, dict) and "__value__" in value else value

"""Reads a workflow file in either of ComfyUI's formats."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..graph import Workflow, WorkflowError
from ..node_table import NodeTable
from .api_format import read_api
from .constants import inline_constants
from .saved_format import read_saved
from .unneeded_nodes import leave_out

MAX_DEPTH = 100  # of lists and objects in each other; the deepest workflows have about 20
_TOO_DEEP = f"{{}} nests lists and objects more than {MAX_DEPTH} deep, which no workflow does"


def load_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises WorkflowError naming the file and the position of the error."""
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise WorkflowError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise WorkflowError(f"{path} is not JSON: {error}") from error
    except RecursionError as error:
        raise WorkflowError(_TOO_DEEP.format(path)) from error
    if _is_deeper(data, MAX_DEPTH):
        raise WorkflowError(_TOO_DEEP.format(path))
    if not isinstance(data, dict):
        raise WorkflowError(f"{path} holds a {type(data).__name__}; a workflow is a JSON object")
    return data


def read_workflow(data: dict[str, Any], table: NodeTable) -> Workflow:
    """Read the format that ComfyUI saves (nodes and links) or its API format ({id: {class_type, inputs}}).

    A {"prompt": ...} envelope, as sent to ComfyUI's server, is unwrapped. Problems of single nodes and links go into
    the result. Raises WorkflowError for data in neither format.
    """
    if isinstance(data.get("nodes"), list):
        return _simplify(Workflow(*read_saved(data, table), data), table, detached=True)
    if isinstance(data.get("prompt"), dict) and "class_type" not in data["prompt"]:
        data = data["prompt"]
    if not data:
        raise WorkflowError("the workflow is empty")
    if not any(isinstance(node, dict) and "class_type" in node for node in data.values()):
        raise WorkflowError('not a workflow: neither "nodes" (as ComfyUI saves it) nor {id: {"class_type", "inputs"}}')
    return _simplify(Workflow(*read_api(data, table)), table, detached=False)


def _simplify(workflow: Workflow, table: NodeTable, *, detached: bool) -> Workflow:
    inline_constants(workflow.graph, table)
    workflow.notices = leave_out(workflow.graph, table, detached=detached)
    return workflow


def _is_deeper(data: Any, depth: int) -> bool:
    """Whether lists and objects are nested more than `depth` times."""
    level = [data]
    for _ in range(depth + 1):
        level = [child for parent in level if isinstance(parent, (dict, list)) for child in _children(parent)]
        if not level:
            return False
    return True


def _children(parent: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return parent.values() if isinstance(parent, dict) else parent

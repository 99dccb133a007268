"""Reads a workflow file in either of ComfyUI's formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..graph import Workflow, WorkflowError
from ..node_table import NodeTable
from .api_format import read_api
from .constants import inline_constants
from .saved_format import read_saved
from .unneeded_nodes import leave_out


def load_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises WorkflowError naming the file and the position of the error."""
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise WorkflowError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise WorkflowError(f"{path} is not JSON: {error}") from error
    except RecursionError as error:
        raise WorkflowError(f"{path} nests lists or objects more deeply than a workflow does") from error
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

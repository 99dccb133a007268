"""Reads and writes ComfyUI's API format: {id: {"class_type", "inputs", "_meta"}}, a link being [node id, slot]."""

from __future__ import annotations

from typing import Any

from ..graph import Graph, Link, NodeCall, Problem
from ..node_table import NodeTable

SEARCH_NAME = "Node name for S&R"  # by which tokens in file names may call a node


def read_api(data: dict[str, Any], table: NodeTable) -> tuple[Graph, list[Problem]]:
    """The graph of an API export, and everything wrong with it."""
    graph: Graph = {}
    problems: list[Problem] = []
    for node_id, node in data.items():
        _read_node(node_id, node, table, graph, problems)
    return graph, problems


def to_api(graph: Graph) -> dict[str, Any]:
    """The graph in ComfyUI's API format."""
    return {
        node_id: {
            "inputs": {name: _api_value(value) for name, value in call.inputs.items()},
            "class_type": call.class_type,
            "_meta": {"title": call.title} | ({SEARCH_NAME: call.search_name} if call.search_name else {}),
        }
        for node_id, call in graph.items()
    }


def _read_node(node_id: str, node: Any, table: NodeTable, graph: Graph, problems: list[Problem]) -> None:
    if not isinstance(node, dict) or not isinstance(node.get("class_type"), str):
        problems.append(Problem("has no class_type; the file is damaged", node_id))
        return
    meta, inputs = node.get("_meta"), node.get("inputs", {})
    meta = meta if isinstance(meta, dict) else {}
    title = str(meta.get("title") or table.title(node["class_type"]))
    call = NodeCall(node["class_type"], {}, title, str(meta.get(SEARCH_NAME) or ""))
    graph[node_id] = call
    if not isinstance(inputs, dict):
        problems.append(Problem(f"inputs must be an object, not {inputs!r}", node_id, call.title))
        return
    for name, value in inputs.items():
        if isinstance(value, list) and not _is_link(value):
            problems.append(Problem(f"{value!r} is not a link; a link is [node id, slot]", node_id, call.title, name))
            continue
        call.inputs[name] = _graph_value(value)


def _is_link(value: list[Any]) -> bool:
    return len(value) == 2 and isinstance(value[0], (str, int)) and type(value[1]) is int


def _graph_value(value: Any) -> Any:
    if isinstance(value, list):
        return Link(str(value[0]), value[1])
    # A list is a link in this format, so ComfyUI wraps a list that is a value.
    return value["__value__"] if isinstance(value, dict) and "__value__" in value else value


def _api_value(value: Any) -> Any:
    if isinstance(value, Link):
        return [value.node, value.slot]
    return {"__value__": value} if isinstance(value, list) else value

"""Reads the workflow format that ComfyUI saves, as its editor would send it to be run."""

from __future__ import annotations

from typing import Any

from .editor_links import BrokenLink, Constant, Scope, Vanished
from .editor_widgets import widget_fault, widget_values
from .graph import Graph, NodeCall, Problem
from .node_table import NodeTable

# What indexing into a damaged file raises.
_DAMAGE = (KeyError, IndexError, TypeError, ValueError, AttributeError)


def read_editor(data: dict[str, Any], table: NodeTable) -> tuple[Graph, list[Problem]]:
    """The graph that ComfyUI's editor would run, and what is wrong with the file."""
    graph: Graph = {}
    problems: list[Problem] = []
    try:
        subgraphs = (data.get("definitions") or {}).get("subgraphs") or []
        top = Scope(data, {definition["id"]: definition for definition in subgraphs}, table)
        nodes = [(f"{scope.prefix}{node['id']}", scope, node) for scope, node in top.running()]
    except BrokenLink as error:
        return {}, [Problem(str(error))]
    except _DAMAGE as error:
        return {}, [Problem(f"the file is damaged: {error!r} in a node or link")]
    for node_id, scope, node in nodes:
        call = NodeCall(node["type"], {}, str(node.get("title") or table.title(node["type"])))
        graph[node_id] = call
        call.inputs |= widget_values(node, table)
        if fault := widget_fault(node, table):
            problems.append(Problem(fault, node_id, call.title))
        problems += [Problem(fault, node_id, call.title) for fault in _read_links(scope, node, call)]
    return graph, problems


def _read_links(scope: Scope, node: dict[str, Any], call: NodeCall) -> list[str]:
    """Put what feeds each input into the call; returns what is wrong with the links."""
    faults: list[str] = []
    for index, entry in enumerate(node.get("inputs") or []):
        try:
            source = scope.feed(node, index, str(entry.get("type", "*")))
            name = entry["name"]
        except BrokenLink as error:
            faults.append(f"input {entry.get('name', index)}: {error}")
            continue
        except _DAMAGE as error:
            faults.append(f"the file is damaged: {error!r} behind input {index}")
            continue
        if isinstance(source, Vanished):
            call.inputs.pop(name, None)
        elif source is not None:
            call.inputs[name] = source.value if isinstance(source, Constant) else source
    return faults

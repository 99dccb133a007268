"""Reads the workflow to convert: its graph, and what the editor saved beside it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from ..graph import Graph, Problem
from ..node_table import NodeSpec, NodeTable
from ..workflow import editor_nodes
from ..workflow.api_format import read_api
from ..workflow.read import read_workflow
from ..workflow.saved_format import read_saved
from ..workflow.saved_links import BYPASSED, MUTED, Scope
from ..workflow.saved_widgets import SEED_CONTROLS, widget_values

Node = dict[str, Any]
Point = tuple[float, float]


@dataclass(frozen=True)
class SavedNode:
    """A node as the editor saved it. values: of its widgets, by name. is_inner: whether it stood in a subgraph."""

    data: Node
    values: dict[str, Any]
    position: Point
    size: Point
    is_inner: bool


@dataclass
class Source:
    """A workflow to convert.

    saved: the file's content if the editor saved it. nodes: those that run, as saved, by their ids in the graph.
    notices: what is not in the graph, in sentences for the user.
    """

    graph: Graph
    problems: list[Problem]
    saved: Node | None = None
    nodes: dict[str, SavedNode] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    @property
    def controls(self) -> dict[str, str]:
        """What ComfyUI does with each node's seed after a run."""
        return {node_id: control for node_id, node in self.nodes.items() if (control := seed_control(node.data))}

    @property
    def notes(self) -> list[Node]:
        """The texts of the file's top level."""
        return [] if self.saved is None else [node for node in self.saved["nodes"] if is_note(node)]


class PlainTable(NodeTable):
    """A table whose texts are read as they are, without the choices and comments that the editor resolves."""

    def spec(self, class_type: str) -> NodeSpec | None:
        spec = super().spec(class_type)
        if spec is None:
            return None
        inputs = {
            name: replace(
                entry, options={key: value for key, value in entry.options.items() if key != "dynamicPrompts"}
            )
            for name, entry in spec.inputs.items()
        }
        return replace(spec, inputs=inputs)


def read_source(data: Node, table: NodeTable) -> Source:
    """Read a workflow in either format; nodes that only hold a value stay. Raises WorkflowError."""
    read_workflow(data, table)  # refuses what is no workflow
    plain = PlainTable(table.classes, table.display_names, host=table.host)
    if not isinstance(data.get("nodes"), list):
        is_wrapped = isinstance(data.get("prompt"), dict) and "class_type" not in data["prompt"]
        return Source(*read_api(data["prompt"] if is_wrapped else data, plain))
    graph, problems = read_saved(data, plain)
    if problems:
        return Source(graph, problems)
    definitions = {entry["id"]: entry for entry in (data.get("definitions") or {}).get("subgraphs") or []}
    root = Scope(data, definitions, plain)
    nodes = {f"{scope.prefix}{node['id']}": _saved_node(scope, node, plain) for scope, node in root.executable_nodes()}
    return Source(graph, [], data, nodes, _notices(data, definitions))


def is_note(node: Node) -> bool:
    """Whether a node is a text of the editor."""
    return node["type"] in editor_nodes.ANNOTATIONS


def seed_control(node: Node) -> str:
    """What the editor does with a node's seed after a run; "" if it saved nothing."""
    values = node.get("widgets_values") or []
    return next((value for value in values if value in SEED_CONTROLS), "") if isinstance(values, list) else ""


def pair(value: Any, default: Point) -> Point:
    """A position or size, which older editors saved as an object."""
    values = list(value.values()) if isinstance(value, dict) else value
    try:
        return float(values[0]), float(values[1])
    except (TypeError, IndexError, ValueError):
        return default


def _saved_node(scope: Scope, node: Node, table: NodeTable) -> SavedNode:
    position, size = pair(node.get("pos"), (0, 0)), pair(node.get("size"), (300, 200))
    is_inner = scope.parent is not None
    if is_inner:
        inner = [pair(other.get("pos"), (0, 0)) for other in scope.nodes.values()]
        left, top = min(x for x, _ in inner), min(y for _, y in inner)
        anchor = pair(_outermost(scope).get("pos"), (0, 0))
        position = anchor[0] + position[0] - left, anchor[1] + position[1] - top
    return SavedNode(node, widget_values(node, table), position, size, is_inner)


def _outermost(scope: Scope) -> Node:
    """The node of the top level that a subgraph's nodes stand for."""
    while scope.parent is not None and scope.parent.parent is not None:
        scope = scope.parent
    return scope.instance


def _notices(data: Node, definitions: dict[str, Any]) -> list[str]:
    nodes = data["nodes"]
    notices = []
    if subgraphs := [node for node in nodes if node["type"] in definitions]:
        notices.append(f"subgraphs are flattened: {_names(subgraphs, definitions)}")
    for mode, word in ((MUTED, "muted"), (BYPASSED, "bypassed")):
        if idle := [node for node in nodes if node.get("mode") == mode and not is_note(node)]:
            notices.append(f"{word} nodes are left out: {_names(idle, definitions)}")
    resolved = Counter(node["type"] for node in nodes if editor_nodes.is_editor_only(node) and not is_note(node))
    if resolved:
        kinds = ", ".join(f"{count} {kind}" for kind, count in resolved.items())
        notices.append(f"nodes of the editor became links and values: {kinds}")
    return notices


def _names(nodes: list[Node], definitions: dict[str, Any]) -> str:
    titles = [node.get("title") or (definitions.get(node["type"]) or {}).get("name") or node["type"] for node in nodes]
    return ", ".join(f"node {node['id']} ({title})" for node, title in zip(nodes, titles, strict=True))

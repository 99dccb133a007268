"""Resolves links in ComfyUI's saved format as its editor does before it queues a prompt.

Mode 2 mutes a node: it does not run, and the inputs it feeds are dropped. Mode 4 bypasses it: an output stands for the
first input of its type. Some nodes exist only in the editor (editor_nodes.py). Subgraphs are stored in
definitions.subgraphs; inside one, node -10 stands for its inputs and node -20 for its outputs, and a node runs under
the id "outer:inner".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..graph import Link
from ..node_table import NodeTable, types_match
from . import editor_nodes
from .saved_widgets import widget_values

MUTED, BYPASSED = 2, 4
SUBGRAPH_INPUTS, SUBGRAPH_OUTPUTS = "-10", "-20"
MAX_INSTANCES = 10_000  # a few definitions that hold each other twice make billions

Node = dict[str, Any]
Visited = frozenset[tuple[str, Any, int]]


@dataclass(frozen=True)
class Literal:
    """An input whose link leads to a value."""

    value: Any


class Muted:
    """An input whose link leads to a muted node."""


Source = Link | Literal | Muted | None


class LinkError(Exception):
    """A link that leads nowhere."""


@dataclass(frozen=True)
class _SavedLink:
    id: Any
    origin: str
    origin_slot: int
    target: str
    target_slot: int


class Scope:
    """The nodes and links of the file's top level, or of one instance of a subgraph."""

    def __init__(
        self,
        content: dict[str, Any],
        definitions: dict[str, dict[str, Any]],
        table: NodeTable,
        parent: Scope | None = None,
        instance: Node | None = None,
    ) -> None:
        self.content = content
        self.table = table
        self.parent = parent
        self.instance = instance or {}
        self.prefix = "" if parent is None else f"{parent.prefix}{self.instance['id']}:"
        if self.prefix.count(":") > len(definitions):
            raise LinkError("a subgraph contains itself")
        self.root: Scope = self if parent is None else parent.root
        self.instances = 0
        self.root.instances += 1
        if self.root.instances > MAX_INSTANCES:
            raise LinkError(f"the file holds more than {MAX_INSTANCES} subgraphs in subgraphs")
        self.nodes = {str(node["id"]): _check_shape(node) for node in content["nodes"]}
        self.links = {link.id: link for link in map(_read_link, _present(content.get("links") or []))}
        self.broadcasts = editor_nodes.broadcasts(content)
        self.subgraphs = {
            node_id: Scope(definitions[node["type"]], definitions, table, self, node)
            for node_id, node in self.nodes.items()
            if node["type"] in definitions
        }

    def executable_nodes(self) -> Iterator[tuple[Scope, Node]]:
        """Every node that may run, with its scope; none of a muted or bypassed subgraph."""
        for node_id, node in self.nodes.items():
            if node.get("mode") in (MUTED, BYPASSED) or editor_nodes.is_editor_only(node):
                continue
            if node["type"] in editor_nodes.BROADCASTERS and self.broadcasts is not None:
                continue
            if node_id in self.subgraphs:
                yield from self.subgraphs[node_id].executable_nodes()
            else:
                yield self, node

    def resolve_input(self, node: Node, index: int, target_type: str, visited: Visited = frozenset()) -> Source:
        """What feeds a node's input slot; None if nothing does, so that the input's widget applies.

        target_type: type of the input that the search started from. Raises LinkError.
        """
        link_id = node["inputs"][index].get("link")
        if link_id is None:
            origin, slot = (self.broadcasts or {}).get((str(node["id"]), index), (None, 0))
            if origin is None:
                return None
            broadcast = _SavedLink("of a broadcast", origin, slot, str(node["id"]), index)
            return self._resolve_link(broadcast, target_type, visited)
        link = self.links.get(link_id)
        if link is None:
            raise LinkError(f"link {link_id} is not among the links of the file")
        return self._resolve_link(link, target_type, visited)

    def _resolve_link(self, link: _SavedLink, target_type: str, visited: Visited) -> Source:
        if link.origin == SUBGRAPH_INPUTS and self.parent is not None:
            return self._resolve_outside(self.parent, link.origin_slot, target_type, visited)
        origin = self.nodes.get(link.origin)
        if origin is None:
            raise LinkError(f"link {link.id} comes from node {self.prefix}{link.origin}, which is not in the file")
        return self._resolve_output(origin, link.origin_slot, target_type, visited)

    def _resolve_output(self, node: Node, slot: int, target_type: str, visited: Visited) -> Source:
        """What an output slot stands for once muted, bypassed, virtual and subgraph nodes are resolved."""
        visit = (self.prefix, node["id"], slot)
        if visit in visited:
            raise LinkError("the link leads back to itself")
        visited |= {visit}
        node_id, mode = str(node["id"]), node.get("mode")
        if mode == BYPASSED:
            index = _bypass_index(node, slot, target_type)
            return None if index is None else self.resolve_input(node, index, target_type, visited)
        if editor_nodes.is_editor_only(node):
            return self._resolve_editor_node(node, target_type, visited)
        if mode == MUTED:
            return Muted()
        if node_id in self.subgraphs:
            return self.subgraphs[node_id]._resolve_inside(slot, target_type, visited)
        return Link(f"{self.prefix}{node_id}", slot)

    def _resolve_editor_node(self, node: Node, target_type: str, visited: Visited) -> Source:
        if node["type"] == editor_nodes.PRIMITIVE:
            values = node.get("widgets_values")
            return Literal(values[0]) if values else None
        if node["type"] in editor_nodes.SETTERS:
            scope, setter = self._find_setter(node)
            return scope.resolve_input(setter, 0, target_type, visited)
        # A reroute or a node that sets a value; nothing comes out of annotations.
        has_input = node.get("inputs") and node["type"] not in editor_nodes.ANNOTATIONS
        return self.resolve_input(node, 0, target_type, visited) if has_input else None

    def _find_setter(self, getter: Node) -> tuple[Scope, Node]:
        """The node that sets the value a node reads, here or in the graph around this subgraph. Raises LinkError."""
        kind, name = editor_nodes.SETTERS[getter["type"]], editor_nodes.value_name(getter)
        scope: Scope | None = self
        while scope is not None:
            named = [
                node for node in scope.nodes.values() if node["type"] == kind and editor_nodes.value_name(node) == name
            ]
            if len(named) > 1:
                ids = " and ".join(f"{scope.prefix}{node['id']}" for node in named)
                raise LinkError(f"{getter['type']} reads {name!r}, which nodes {ids} set; give them different names")
            if named:
                return scope, named[0]
            scope = scope.parent
        raise LinkError(
            f"{getter['type']} {self.prefix}{getter['id']} reads {name!r}, which no {kind} sets; choose a name that is "
            "set, or connect the input"
        )

    def _resolve_inside(self, slot: int, target_type: str, visited: Visited) -> Source:
        """What feeds this subgraph's output slot from inside."""
        for link in self.links.values():
            if link.target == SUBGRAPH_OUTPUTS and link.target_slot == slot:
                return self._resolve_link(link, target_type, visited)
        return None

    def _resolve_outside(self, parent: Scope, slot: int, target_type: str, visited: Visited) -> Source:
        """What feeds this subgraph's input slot from outside: a link, or a widget promoted to the subgraph node."""
        name = self.content["inputs"][slot]["name"]
        for index, entry in enumerate(self.instance.get("inputs") or []):
            if entry["name"] == name and entry.get("link") is not None:
                return parent.resolve_input(self.instance, index, target_type, visited)
        # Older editors stored the values of promoted widgets on the subgraph node, marked "-1".
        promoted = self.instance.get("properties", {}).get("proxyWidgets") or []
        for entry, value in zip(promoted, self.instance.get("widgets_values") or [], strict=False):
            if list(entry[:2]) == ["-1", name] and value is not None:
                return Literal(value)
        return self._promoted_value(slot)

    def _promoted_value(self, slot: int) -> Literal | None:
        """The value of the first widget that a subgraph's input slot feeds, which is the one that is promoted."""
        for link in self.links.values():
            is_fed = (link.origin, link.origin_slot) == (SUBGRAPH_INPUTS, slot)
            target = self.nodes.get(link.target) if is_fed else None
            if target is None:
                continue
            if link.target in self.subgraphs:
                subgraph = self.subgraphs[link.target]
                names = [entry["name"] for entry in subgraph.content["inputs"]]
                return subgraph._promoted_value(names.index(target["inputs"][link.target_slot]["name"]))
            values = widget_values(target, self.table)
            for entry in target.get("inputs") or []:
                if entry.get("link") == link.id and entry["name"] in values:
                    return Literal(values[entry["name"]])
        return None


def _bypass_index(node: Node, slot: int, target_type: str) -> int | None:
    """The input that a bypassed node passes on: the same slot if its type matches, else the first that does."""
    inputs = node.get("inputs") or []
    output_type = str(node["outputs"][slot]["type"])
    if not inputs:
        return None
    if target_type in ("*", ""):
        return slot if slot < len(inputs) else 0
    types = [str(entry["type"]) for entry in inputs]
    matches = [types_match(kind, output_type) and types_match(kind, target_type) for kind in types]
    if slot < len(inputs) and matches[slot]:
        return slot
    exact = [index for index, entry in enumerate(inputs) if entry["type"] == target_type]
    return (exact + [index for index, match in enumerate(matches) if match] + [None])[0]


def _check_shape(node: Node) -> Node:
    """The node itself. Raises ValueError if it cannot be one."""
    if not isinstance(node["type"], str):
        raise ValueError(f"the type of node {node['id']} is {node['type']!r}")
    for name in ("inputs", "outputs"):
        if not isinstance(node.get(name), (list, type(None))):
            raise ValueError(f"the {name} of node {node['id']} are {node[name]!r}")
    if not isinstance(node.get("widgets_values"), (list, dict, type(None))):
        raise ValueError(f"the widgets_values of node {node['id']} are {node['widgets_values']!r}")
    return node


def _present(links: list[Any]) -> list[Any]:
    """Without the empty entries that older editors left behind."""
    return [link for link in links if link is not None and not (isinstance(link, list) and link[0] is None)]


def _read_link(link: Any) -> _SavedLink:
    if isinstance(link, dict):
        target = str(link["target_id"])
        return _SavedLink(
            link["id"], str(link["origin_id"]), int(link["origin_slot"]), target, int(link["target_slot"])
        )
    return _SavedLink(link[0], str(link[1]), int(link[2]), str(link[3]), int(link[4]))

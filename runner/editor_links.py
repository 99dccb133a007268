"""Follows links through ComfyUI's saved format as its editor does before a run.

Mode 2 mutes a node: it vanishes, with the inputs it feeds. Mode 4 bypasses it: its output stands for its first input
of that type. Reroute and PrimitiveNode exist only in the editor. Subgraphs are kept apart in definitions.subgraphs;
inside one, node -10 stands for its inputs and node -20 for its outputs, and a node runs under the id "outer:inner".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .editor_widgets import widget_values
from .graph import Link
from .node_table import NodeTable, types_match

MUTED, BYPASSED = 2, 4
SUBGRAPH_INPUTS, SUBGRAPH_OUTPUTS = "-10", "-20"
NOTES = ("Note", "MarkdownNote")
VIRTUAL = (*NOTES, "Reroute", "PrimitiveNode")

Node = dict[str, Any]
Seen = frozenset[tuple[str, Any, int]]


@dataclass(frozen=True)
class Constant:
    """An input that turned out to be fed by a value."""

    value: Any


class Vanished:
    """An input fed by a muted node."""


Source = Link | Constant | Vanished | None


class BrokenLink(Exception):  # noqa: N818  # not an error of the program; the reader turns it into a Problem
    """A link that leads nowhere."""


@dataclass(frozen=True)
class _Wire:
    id: Any
    origin: str
    slot: int
    target: str
    target_slot: int


class Scope:
    """The nodes and links of the file's top level, or of one use of a subgraph."""

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
            raise BrokenLink("a subgraph contains itself")
        self.nodes = {str(node["id"]): node for node in content["nodes"]}
        self.links = {wire.id: wire for wire in map(_read_wire, content.get("links") or [])}
        self.inner = {
            node_id: Scope(definitions[node["type"]], definitions, table, self, node)
            for node_id, node in self.nodes.items()
            if node["type"] in definitions
        }

    def running(self) -> Iterator[tuple[Scope, Node]]:
        """Every node that may run, with the scope it lies in; nodes of a switched-off subgraph don't."""
        for node_id, node in self.nodes.items():
            if node.get("mode") in (MUTED, BYPASSED) or node["type"] in VIRTUAL:
                continue
            if node_id in self.inner:
                yield from self.inner[node_id].running()
            else:
                yield self, node

    def feed(self, node: Node, index: int, wanted: str, seen: Seen = frozenset()) -> Source:
        """What feeds a node's input slot; None when nothing does, so that its own widget counts.

        wanted: the type of the input the search began at. Raises BrokenLink.
        """
        link_id = node["inputs"][index].get("link")
        if link_id is None:
            return None
        wire = self.links.get(link_id)
        if wire is None:
            raise BrokenLink(f"link {link_id} is not among the links of the file")
        return self._follow(wire, wanted, seen)

    def _follow(self, wire: _Wire, wanted: str, seen: Seen) -> Source:
        if wire.origin == SUBGRAPH_INPUTS and self.parent is not None:
            return self._enter(self.parent, wire.slot, wanted, seen)
        origin = self.nodes.get(wire.origin)
        if origin is None:
            raise BrokenLink(f"link {wire.id} comes from node {self.prefix}{wire.origin}, which is not in the file")
        return self._output(origin, wire.slot, wanted, seen)

    def _output(self, node: Node, slot: int, wanted: str, seen: Seen) -> Source:
        """What an output slot stands for once muted, bypassed, virtual and subgraph nodes are resolved."""
        here = (self.prefix, node["id"], slot)
        if here in seen:
            raise BrokenLink("the link leads back to itself")
        seen |= {here}
        node_id, kind, mode = str(node["id"]), node["type"], node.get("mode")
        if mode == BYPASSED:
            index = _bypass_index(node, slot, wanted)
            return None if index is None else self.feed(node, index, wanted, seen)
        if kind == "Reroute":
            return self.feed(node, 0, wanted, seen) if node.get("inputs") else None
        if kind == "PrimitiveNode":
            values = node.get("widgets_values")
            return Constant(values[0]) if values else None
        if mode == MUTED:
            return Vanished()
        if node_id in self.inner:
            return self.inner[node_id]._leave(slot, wanted, seen)
        return Link(f"{self.prefix}{node_id}", slot)

    def _leave(self, slot: int, wanted: str, seen: Seen) -> Source:
        for wire in self.links.values():
            if wire.target == SUBGRAPH_OUTPUTS and wire.target_slot == slot:
                return self._follow(wire, wanted, seen)
        return None

    def _enter(self, outside: Scope, slot: int, wanted: str, seen: Seen) -> Source:
        """What feeds this subgraph's input slot from outside: a link, or the widget shown on the subgraph."""
        name = self.content["inputs"][slot]["name"]
        for index, entry in enumerate(self.instance.get("inputs") or []):
            if entry["name"] == name and entry.get("link") is not None:
                return outside.feed(self.instance, index, wanted, seen)
        # Older editors stored the values of such widgets on the subgraph node, marked "-1".
        shown = self.instance.get("properties", {}).get("proxyWidgets") or []
        for entry, value in zip(shown, self.instance.get("widgets_values") or [], strict=False):
            if list(entry[:2]) == ["-1", name] and value is not None:
                return Constant(value)
        return self._first_widget(slot)

    def _first_widget(self, slot: int) -> Constant | None:
        """The value of the first widget that a subgraph's input slot feeds: it is the one shown on the subgraph."""
        for wire in self.links.values():
            target = self.nodes.get(wire.target) if (wire.origin, wire.slot) == (SUBGRAPH_INPUTS, slot) else None
            if target is None:
                continue
            if wire.target in self.inner:
                names = [entry["name"] for entry in self.inner[wire.target].content["inputs"]]
                entry = target["inputs"][wire.target_slot]
                return self.inner[wire.target]._first_widget(names.index(entry["name"]))
            values = widget_values(target, self.table)
            for entry in target.get("inputs") or []:
                if entry.get("link") == wire.id and entry["name"] in values:
                    return Constant(values[entry["name"]])
        return None


def _bypass_index(node: Node, slot: int, wanted: str) -> int | None:
    """The input that a bypassed node passes on: the same slot if its type fits, else the first that does."""
    inputs = node.get("inputs") or []
    given = str(node["outputs"][slot]["type"])
    if not inputs:
        return None
    if wanted in ("*", ""):
        return slot if slot < len(inputs) else 0
    fits = [types_match(str(i["type"]), given) and types_match(str(i["type"]), wanted) for i in inputs]
    if slot < len(inputs) and fits[slot]:
        return slot
    exact = [index for index, entry in enumerate(inputs) if entry["type"] == wanted]
    return (exact + [index for index, fit in enumerate(fits) if fit] + [None])[0]


def _read_wire(link: Any) -> _Wire:
    if isinstance(link, dict):
        target = str(link["target_id"])
        return _Wire(link["id"], str(link["origin_id"]), int(link["origin_slot"]), target, int(link["target_slot"]))
    return _Wire(link[0], str(link[1]), int(link[2]), str(link[3]), int(link[4]))

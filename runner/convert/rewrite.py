"""A graph while its nodes are replaced, with the list of what changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..graph import Graph, Link, NodeCall
from ..node_table import NodeTable

OWN = "AceStepXL"  # every id of this pack begins with it


@dataclass(frozen=True)
class Change:
    """What became of a node.

    becomes: the classes that do its work now, none if nothing needs to. effects: what the change does to the sound, in
    sentences.
    """

    node: str
    class_type: str
    title: str
    becomes: tuple[str, ...]
    effects: tuple[str, ...]


@dataclass(frozen=True)
class Kept:
    """A node that stays, and why."""

    node: str
    class_type: str
    title: str
    reason: str


class Rewrite:
    """A graph that is rewritten in place.

    guidance: "cfg" keeps the guidance of the graph, "official" takes that of the official inference. places: by the id
    of an added node, the node whose place it shares. controls: by node, what ComfyUI does with its seed after a run.
    """

    def __init__(self, graph: Graph, table: NodeTable, guidance: str, controls: Mapping[str, str]) -> None:
        self.graph = graph
        self.table = table
        self.guidance = guidance
        self.controls = dict(controls)
        self.places: dict[str, str] = {}
        self.changes: list[Change] = []
        self.kept: list[Kept] = []

    def add(self, class_type: str, inputs: Mapping[str, Any], place: str) -> str:
        """Add a node at the place of another; returns its id. Inputs left out take their defaults."""
        number = 1
        while f"{place}+{number}" in self.graph:
            number += 1
        node_id = f"{place}+{number}"
        self.graph[node_id] = NodeCall(class_type, self._complete(class_type, inputs), self.table.title(class_type))
        self.places[node_id] = place
        return node_id

    def replace(self, node_id: str, class_type: str, inputs: Mapping[str, Any]) -> None:
        """Put another class under a node's id; a title of the user's own stays."""
        old = self.graph[node_id]
        is_default = old.title == self.table.title(old.class_type)
        title = self.table.title(class_type) if is_default else old.title
        self.graph[node_id] = NodeCall(class_type, self._complete(class_type, inputs), title, old.search_name)

    def _complete(self, class_type: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        spec = self.table.spec(class_type)
        assert spec is not None  # both tables hold what replacements name
        defaults = {entry.name: entry.default for entry in spec.inputs.values() if entry.is_widget}
        return {**defaults, **{name: value for name, value in inputs.items() if value is not None}}

    def record(self, node_id: str, before: NodeCall, becomes: tuple[str, ...], *effects: str) -> None:
        """List what became of a node; empty effects are left out."""
        present = tuple(effect for effect in effects if effect)
        self.changes.append(Change(node_id, before.class_type, before.title, becomes, present))

    def origin(self, value: Any) -> NodeCall | None:
        """The node at the other end of a link; None for a value."""
        return self.graph.get(value.node) if isinstance(value, Link) else None

    def readers(self, node_id: str, slot: int | None = None) -> Iterator[tuple[str, str]]:
        """The inputs that a node feeds, as (node id, input name)."""
        for reader, call in self.graph.items():
            for name, value in call.inputs.items():
                if isinstance(value, Link) and value.node == node_id and slot in (None, value.slot):
                    yield reader, name

    def component(self, node_id: str) -> set[str]:
        """The nodes that links connect to a node, in whatever direction, and the node itself."""
        connected: set[str] = set()
        waiting = [node_id]
        while waiting:
            current = waiting.pop()
            if current in connected:
                continue
            connected.add(current)
            links = [value.node for value in self.graph[current].inputs.values() if isinstance(value, Link)]
            waiting += [other for other in links if other in self.graph]
            waiting += [reader for reader, _ in self.readers(current)]
        return connected

    def redirect(self, old: Link, new: Link) -> None:
        """Let another output feed what an output feeds."""
        for reader, name in list(self.readers(old.node, old.slot)):
            self.graph[reader].inputs[name] = new

    def remove(self, node_id: str) -> None:
        del self.graph[node_id]

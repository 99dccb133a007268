"""Writes a graph in the format that ComfyUI's editor saves."""

from __future__ import annotations

import copy
from typing import Any

from ..graph import Link
from ..node_table import SEED_NAMES, WIDGET_TYPES, InputSpec
from ..order import execution_order
from .layout import Box, grown_groups, lay_out
from .rewrite import OWN, Rewrite
from .source import Source

PACK, CORE = "acestep-xl", "comfy-core"  # ids in the registry
FIXED = "fixed"
OPTIONAL_SHAPE = 7  # how ComfyUI draws the socket of an optional input
VERSION = 0.4
# Parts of a file's extra that name links or nodes, which have other numbers now.
STALE_EXTRA = frozenset({"ue_links", "links_added_by_ue", "linearData", "reroutes", "linkExtensions", "linkextensions"})

Node = dict[str, Any]


def to_editor(rewrite: Rewrite, source: Source) -> dict[str, Any]:
    """The rewritten graph as a file of the editor, with the notes and groups of the file that it comes from."""
    saved = source.saved or {}
    boxes = lay_out(rewrite, source)
    numbers = _numbers(rewrite, source)
    order = {node_id: index for index, node_id in enumerate(execution_order(rewrite.graph, rewrite.graph).nodes)}
    nodes = {
        node_id: _node(rewrite, source, node_id, boxes[node_id]) | {"id": numbers[node_id], "order": order[node_id]}
        for node_id in rewrite.graph
    }
    links = _connect(rewrite, nodes)
    notes = [copy.deepcopy(note) for note in source.notes]
    extra = saved.get("extra") or {}
    return {
        "revision": 0,
        "last_node_id": max([*numbers.values(), *(note["id"] for note in notes if isinstance(note["id"], int)), 0]),
        "last_link_id": len(links),
        "nodes": [*nodes.values(), *notes],
        "links": links,
        "groups": grown_groups(source, boxes, rewrite),
        "config": saved.get("config") or {},
        "extra": {key: value for key, value in extra.items() if key not in STALE_EXTRA},
        "version": VERSION,
    }


def _numbers(rewrite: Rewrite, source: Source) -> dict[str, int]:
    """The editor's number of every node: its own where it has one, a new one for added nodes and those of subgraphs."""
    numbers = {
        node_id: int(node_id) for node_id in rewrite.graph if node_id.isdecimal() and str(int(node_id)) == node_id
    }
    taken = [*numbers.values(), *(int(note["id"]) for note in source.notes if str(note["id"]).isdecimal())]
    following = max(taken, default=0) + 1
    for node_id in rewrite.graph:
        if node_id not in numbers:
            numbers[node_id] = following
            following += 1
    return numbers


def _node(rewrite: Rewrite, source: Source, node_id: str, box: Box) -> Node:
    """A node without its number and links."""
    call = rewrite.graph[node_id]
    original = source.nodes.get(node_id)
    if original is not None and original.data["type"] == call.class_type:
        node = copy.deepcopy(original.data)
        node["inputs"] = [{**entry, "link": None} for entry in node.get("inputs") or []]
        node["outputs"] = [{**entry, "links": []} for entry in node.get("outputs") or []]
        if _is_edited(rewrite, source, node_id):
            node["widgets_values"] = _widget_values(rewrite, source, node_id)
    else:
        node = {"type": call.class_type, "flags": {}, "inputs": _inputs(rewrite, node_id)}
        node |= {"outputs": _outputs(rewrite, node_id), "widgets_values": _widget_values(rewrite, source, node_id)}
        owner = {"cnr_id": PACK if call.class_type.startswith(OWN) else CORE}
        known = owner if rewrite.table.spec(call.class_type) else {}
        node["properties"] = {**known, "Node name for S&R": call.search_name or call.class_type}
        colours = {} if original is None else original.data
        node |= {name: colours[name] for name in ("color", "bgcolor") if name in colours}
        if call.title != rewrite.table.title(call.class_type):
            node["title"] = call.title
    return node | {"mode": 0, "pos": [box.x, box.y], "size": [box.width, box.height]}


def _inputs(rewrite: Rewrite, node_id: str) -> list[Node]:
    call = rewrite.graph[node_id]
    spec = rewrite.table.spec(call.class_type)
    if spec is None:
        return [_slot(name, "*", is_widget=not isinstance(value, Link)) for name, value in call.inputs.items()]
    return [
        _slot(entry.name, entry.type, is_widget=entry.is_widget, is_optional=not entry.required)
        for entry in spec.inputs.values()
    ]


def _slot(name: str, kind: str, *, is_widget: bool, is_optional: bool = False) -> Node:
    entry: Node = {"name": name, "type": kind, "link": None}
    if is_optional:
        entry["shape"] = OPTIONAL_SHAPE
    return entry | ({"widget": {"name": name}} if is_widget else {})


def _outputs(rewrite: Rewrite, node_id: str) -> list[Node]:
    spec = rewrite.table.spec(rewrite.graph[node_id].class_type)
    if spec is None:
        links = [value for call in rewrite.graph.values() for value in call.inputs.values() if isinstance(value, Link)]
        count = max((link.slot + 1 for link in links if link.node == node_id), default=0)
        return [{"name": "*", "type": "*", "links": []} for _ in range(count)]
    names = getattr(spec.node_class, "RETURN_NAMES", spec.returns)
    return [{"name": name, "type": kind, "links": []} for name, kind in zip(names, spec.returns, strict=True)]


def _widget_values(rewrite: Rewrite, source: Source, node_id: str) -> list[Any]:
    """The values by position, each seed followed by its control."""
    call = rewrite.graph[node_id]
    control = rewrite.controls.get(node_id, FIXED)
    spec = rewrite.table.spec(call.class_type)
    if spec is None:
        literals = {name: value for name, value in call.inputs.items() if not isinstance(value, Link)}
        pairs = [(value, name in SEED_NAMES) for name, value in literals.items()]
        return [entry for value, is_seed in pairs for entry in ([value, control] if is_seed else [value])]
    original = source.nodes.get(node_id)
    stored = original.values if original is not None and original.data["type"] == call.class_type else {}
    values: list[Any] = []
    for entry in spec.inputs.values():
        if entry.is_widget:
            values.append(_value(entry, call.inputs.get(entry.name), stored))
            values += [control] if entry.control_values else []
    return values


def _value(entry: InputSpec, value: Any, stored: dict[str, Any]) -> Any:
    """An input's value; where a link sets it, what the widget shows."""
    return stored.get(entry.name, entry.default) if value is None or isinstance(value, Link) else value


def _is_edited(rewrite: Rewrite, source: Source, node_id: str) -> bool:
    """Whether a node that stays has other values than its file, since a node of the editor set them."""
    stored = source.nodes[node_id].values
    inputs = rewrite.graph[node_id].inputs
    return any(
        not isinstance(inputs.get(name, value), Link) and inputs.get(name, value) != value
        for name, value in stored.items()
    )


def _connect(rewrite: Rewrite, nodes: dict[str, Node]) -> list[list[Any]]:
    """Write the graph's links into the nodes; returns the file's list of them."""
    links: list[list[Any]] = []
    for node_id, call in rewrite.graph.items():
        for name, value in call.inputs.items():
            if not isinstance(value, Link) or value.node not in nodes:
                continue
            target, origin = nodes[node_id], nodes[value.node]
            index = _input_index(rewrite, target, name)
            kind = _output(origin, value.slot)["type"]
            link_id = len(links) + 1
            target["inputs"][index]["link"] = link_id
            _output(origin, value.slot)["links"].append(link_id)
            links.append([link_id, origin["id"], value.slot, target["id"], index, kind])
    return links


def _input_index(rewrite: Rewrite, node: Node, name: str) -> int:
    """The position of an input, which is added where an older file has none."""
    names = [entry["name"] for entry in node["inputs"]]
    if name not in names:
        spec = rewrite.table.spec(node["type"])
        entry = spec.inputs.get(name) if spec else None
        kind = entry.type if entry else "*"
        node["inputs"].append(_slot(name, kind, is_widget=kind in WIDGET_TYPES))
    return names.index(name) if name in names else len(names)


def _output(node: Node, slot: int) -> Node:
    while len(node["outputs"]) <= slot:
        node["outputs"].append({"name": "*", "type": "*", "links": []})
    return node["outputs"][slot]

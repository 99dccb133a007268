"""Nodes that only hold a value: links to them are replaced by the value, so that no other node need know them.

Sources: comfy_extras/nodes_primitive.py, ComfyUI-KJNodes, rgthree-comfy, ComfyUI-Easy-Use, cg-use-everywhere.
"""

from __future__ import annotations

from typing import Any

from ..graph import Graph, Link
from ..node_table import NodeTable


def inline_constants(graph: Graph, table: NodeTable) -> None:
    """Replace links to nodes that only hold a value by the value, and remove those nodes; in place."""
    holders = {
        node_id: CONSTANTS[call.class_type]
        for node_id, call in graph.items()
        if call.class_type in CONSTANTS and call.class_type not in table.classes
    }
    for call in graph.values():
        call.inputs |= {name: _value(graph, holders, value) for name, value in call.inputs.items()}
    linked = {value.node for call in graph.values() for value in call.inputs.values() if isinstance(value, Link)}
    for node_id in holders.keys() - linked:
        del graph[node_id]


def _value(graph: Graph, holders: dict[str, str], value: Any) -> Any:
    """What a chain of such nodes holds; the value itself if the chain ends nowhere."""
    current, visited = value, set()
    while isinstance(current, Link) and current.node in holders and current.node not in visited:
        visited.add(current.node)
        current = graph[current.node].inputs.get(holders[current.node], value)
    return current


# The input that holds the value, by class.
CONSTANTS = {
    "PrimitiveInt": "value",
    "PrimitiveFloat": "value",
    "PrimitiveString": "value",
    "PrimitiveStringMultiline": "value",
    "PrimitiveBoolean": "value",
    "INTConstant": "value",
    "FloatConstant": "value",
    "BOOLConstant": "value",
    "StringConstant": "string",
    "Seed (rgthree)": "seed",
    "Seed Everywhere": "seed",
    "easy int": "value",
    "easy string": "value",
    "easy boolean": "value",
}

"""Changes to a graph from outside: NODE.INPUT=VALUE settings and the demo network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..parameters import ids
from .graph import Graph, Problem
from .node_table import NodeTable
from .values import close_to, parse

DEMO_INPUTS = {"model": "demo", "text_encoder": "auto", "vae": "auto"}


@dataclass(frozen=True)
class Setting:
    """node: an id, title or class of the graph; text: the value as typed."""

    node: str
    input: str
    text: str


def parse_setting(text: str) -> Setting:
    """Split NODE.INPUT=VALUE; the node may contain dots, the value anything. Raises ValueError."""
    target, equals, value = text.partition("=")
    node, dot, name = target.rpartition(".")
    if not (equals and dot and node and name):
        raise ValueError(f"{text!r} is not NODE.INPUT=VALUE")
    return Setting(node, name, value)


def apply_settings(graph: Graph, settings: Iterable[Setting], table: NodeTable) -> list[Problem]:
    """Set inputs in place; a linked input loses its link. Returns the settings that could not be applied."""
    faults = [(setting, _apply(graph, setting, table)) for setting in settings]
    return [Problem(f"{s.node}.{s.input}={s.text}: {fault}") for s, fault in faults if fault]


def use_demo(graph: Graph, table: NodeTable) -> list[Problem]:
    """Point every loader at the built-in demo network."""
    loaders = [node_id for node_id, call in graph.items() if call.class_type == ids.LOADER]
    if not loaders:
        return [Problem(f"there is no {ids.LOADER} node that could load the demo network")]
    spec = table.spec(ids.LOADER)
    inputs = {name: value for name, value in DEMO_INPUTS.items() if spec is None or name in spec.inputs}
    settings = [Setting(node_id, name, value) for node_id in loaders for name, value in inputs.items()]
    return apply_settings(graph, settings, table)


def _apply(graph: Graph, setting: Setting, table: NodeTable) -> str | None:
    found = _find(graph, setting.node)
    if not found:
        names = [name for node_id, call in graph.items() for name in (node_id, call.title, call.class_type)]
        return (
            f"no node has the id, title or class {setting.node!r}; {close_to(setting.node, list(dict.fromkeys(names)))}"
        )
    if len(found) > 1:
        return f"{setting.node!r} names several nodes; use one of the ids {', '.join(found)}"
    call = graph[found[0]]
    spec = table.spec(call.class_type)
    if spec is None:
        return f"unknown node class {call.class_type!r}"
    entry = spec.inputs.get(setting.input)
    if entry is None or not entry.is_widget:
        fault = "it has no such input" if entry is None else f"it takes a {entry.type} by link, not a value"
        return f"{fault}; it can be given {', '.join(i.name for i in spec.inputs.values() if i.is_widget) or 'nothing'}"
    try:
        call.inputs[setting.input] = parse(entry, setting.text)
    except ValueError as error:
        return str(error)
    return None


def _find(graph: Graph, name: str) -> list[str]:
    if name in graph:
        return [name]
    titled = [node_id for node_id, call in graph.items() if call.title == name]
    return titled or [node_id for node_id, call in graph.items() if call.class_type == name]

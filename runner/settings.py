"""Overrides of a graph's inputs: NODE.INPUT=VALUE from the command line, values from the service, the demo network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..parameters import ids
from .graph import Graph, Link, NodeCall, Problem
from .node_table import InputSpec, NodeTable
from .values import convert, parse_text, suggest

DEMO_INPUTS = {"model": "demo", "text_encoder": "auto", "vae": "auto"}
# ComfyUI's loaders, and which output of ours does the work of each of theirs.
NATIVE_LOADERS = {
    "UNETLoader": (0,),
    "CLIPLoader": (1,),
    "DualCLIPLoader": (1,),
    "VAELoader": (2,),
    "CheckpointLoaderSimple": (0, 1, 2),
}


@dataclass(frozen=True)
class Setting:
    """A value for one input. node: an id, title or class of the graph."""

    node: str
    input: str
    value: Any

    def __str__(self) -> str:
        return f"{self.node}.{self.input}={self.value if isinstance(self.value, str) else repr(self.value)}"


class Assignment(NamedTuple):
    """NODE.INPUT=VALUE from the command line; the value gets its type once the graph says which input it is for."""

    node: str
    input: str
    text: str


def parse_assignment(text: str) -> Assignment:
    """Split NODE.INPUT=VALUE; the node may contain dots, the value anything. Raises ValueError."""
    target, equals, value = text.partition("=")
    node, dot, name = target.rpartition(".")
    if not (equals and dot and node and name):
        raise ValueError(f"{text!r} is not NODE.INPUT=VALUE")
    return Assignment(node, name, value)


def resolve_assignments(
    graph: Graph, assignments: Iterable[Assignment], table: NodeTable
) -> tuple[list[Setting], list[Problem]]:
    """Parse each value as the type of its input. Returns the settings, and what is wrong with the other assignments."""
    settings: list[Setting] = []
    problems: list[Problem] = []
    for node, name, text in assignments:
        try:
            _, spec = _find_input(graph, node, name, table)
            settings.append(Setting(node, name, parse_text(spec, text)))
        except ValueError as error:
            problems.append(Problem(f"{node}.{name}={text}: {error}"))
    return settings, problems


def apply_settings(graph: Graph, settings: Iterable[Setting], table: NodeTable) -> list[Problem]:
    """Set inputs in place, replacing links. Returns what is wrong with the settings that do not apply."""
    problems: list[Problem] = []
    for setting in settings:
        try:
            call, spec = _find_input(graph, setting.node, setting.input, table)
            call.inputs[setting.input] = convert(spec, setting.value)
        except ValueError as error:
            problems.append(Problem(f"{setting}: {error}"))
    return problems


def use_demo(graph: Graph, table: NodeTable) -> list[Problem]:
    """Point every loader at the built-in demo network; in the place of ComfyUI's loaders come ours."""
    if not any(call.class_type in table.classes for call in graph.values()):
        return []  # that all nodes are unknown is told for itself
    _replace_native_loaders(graph, table)
    loaders = [node_id for node_id, call in graph.items() if call.class_type == ids.LOADER]
    if not loaders:
        known = ", ".join((ids.LOADER, *NATIVE_LOADERS))
        return [Problem(f"the workflow has no node to load the demo network with: {known}")]
    spec = table.spec(ids.LOADER)
    inputs = {name: value for name, value in DEMO_INPUTS.items() if spec is None or name in spec.inputs}
    settings = [Setting(node_id, name, value) for node_id in loaders for name, value in inputs.items()]
    return apply_settings(graph, settings, table)


def _replace_native_loaders(graph: Graph, table: NodeTable) -> None:
    """Put our loader under the id of each of ComfyUI's. A link to an output that it has not is left for validation."""
    spec = table.spec(ids.LOADER)
    slots = {name: NATIVE_LOADERS[call.class_type] for name, call in graph.items() if call.class_type in NATIVE_LOADERS}
    if spec is None:
        return
    defaults = {entry.name: entry.default for entry in spec.inputs.values() if entry.is_widget}
    for node_id in slots:
        graph[node_id] = NodeCall(ids.LOADER, dict(defaults), graph[node_id].title)
    for call in graph.values():
        for name, value in call.inputs.items():
            if isinstance(value, Link) and 0 <= value.slot < len(slots.get(value.node, ())):
                call.inputs[name] = Link(value.node, slots[value.node][value.slot])


def _find_input(graph: Graph, node: str, name: str, table: NodeTable) -> tuple[NodeCall, InputSpec]:
    """The node and the widget that a setting is for. Raises ValueError."""
    call = _find_node(graph, node)
    spec = table.spec(call.class_type)
    if spec is None:
        raise ValueError(f"unknown node class {call.class_type!r}")
    entry = spec.inputs.get(name)
    if entry is None or not entry.is_widget:
        reason = "no such input" if entry is None else f"{name} takes {entry.type} by link, not a value"
        settable = ", ".join(each.name for each in spec.inputs.values() if each.is_widget)
        raise ValueError(f"{reason}; settable inputs: {settable or 'none'}")
    return call, entry


def _find_node(graph: Graph, name: str) -> NodeCall:
    """The node with this id, else the only one with this title, else the only one of this class. Raises ValueError."""
    if name in graph:
        return graph[name]
    matches = [node_id for node_id, call in graph.items() if call.title == name]
    matches = matches or [node_id for node_id, call in graph.items() if call.class_type == name]
    if not matches:
        names = [text for node_id, call in graph.items() for text in (node_id, call.title, call.class_type)]
        hint = suggest(name, list(dict.fromkeys(names)))
        raise ValueError(f"no node has the id, title or class {name!r}; {hint}")
    if len(matches) > 1:
        raise ValueError(f"{name!r} matches several nodes; use one of the ids {', '.join(matches)}")
    return graph[matches[0]]

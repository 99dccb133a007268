"""A workflow as data: nodes by id, each input a constant or a link."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Link:
    """An input fed by output `slot` of node `node`."""

    node: str
    slot: int


@dataclass
class NodeCall:
    """One node of a graph."""

    class_type: str
    inputs: dict[str, Any]
    title: str


Graph = dict[str, NodeCall]


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a workflow, in words for the user. node and input are None where none is to blame."""

    message: str
    node: str | None = None
    title: str | None = None
    input: str | None = None

    def __str__(self) -> str:
        where = [f"node {self.node}" + (f" ({self.title})" if self.title else "")] if self.node is not None else []
        if self.input is not None:
            where.append(f"input {self.input}")
        return f"{', '.join(where)}: {self.message}" if where else self.message


class WorkflowError(ValueError):
    """The text is no workflow at all."""


@dataclass
class Workflow:
    """A graph, what was wrong in the text it came from, and that text's editor form where it had one."""

    graph: Graph
    problems: list[Problem] = field(default_factory=list)
    editor: dict[str, Any] | None = None


def to_api(graph: Graph) -> dict[str, Any]:
    """The graph in ComfyUI's API format."""
    return {
        node_id: {
            "inputs": {name: _api_value(value) for name, value in call.inputs.items()},
            "class_type": call.class_type,
            "_meta": {"title": call.title},
        }
        for node_id, call in graph.items()
    }


def _api_value(value: Any) -> Any:
    if isinstance(value, Link):
        return [value.node, value.slot]
    return {"__value__": value} if isinstance(value, list) else value

"""A workflow as data: nodes by id, each input a literal or a link."""

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
    """One node of a graph.

    search_name: the "Node name for S&R" of the editor's properties, if it is one of its own. pack: whose class it is,
    as the editor saves it.
    """

    class_type: str
    inputs: dict[str, Any]
    title: str
    search_name: str = ""
    pack: str = ""


Graph = dict[str, NodeCall]


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a workflow, for the user to read. node and input: where it is, or None."""

    message: str
    node: str | None = None
    title: str | None = None
    input: str | None = None

    def __str__(self) -> str:
        location = [f"node {self.node}" + (f" ({self.title})" if self.title else "")] if self.node is not None else []
        if self.input is not None:
            location.append(f"input {self.input}")
        return f"{', '.join(location)}: {self.message}" if location else self.message


class WorkflowError(ValueError):
    """The data is not a workflow."""


@dataclass
class Workflow:
    """A graph, what is wrong with the file it was read from, and that file's content if ComfyUI's editor saved it.

    notices: what was left out of the graph, in sentences for the user.
    """

    graph: Graph
    problems: list[Problem] = field(default_factory=list)
    saved: dict[str, Any] | None = None
    notices: list[str] = field(default_factory=list)

"""Execution order of a graph: plain graph theory, independent of node classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .graph import Graph, Link


class Order(NamedTuple):
    """nodes: those the targets need, each after all it needs. cycles: id paths that lead back to their start."""

    nodes: list[str]
    cycles: list[list[str]]


def sources(graph: Graph, node_id: str) -> list[str]:
    """The existing nodes that feed a node, each once, in the order of its inputs."""
    links = [value.node for value in graph[node_id].inputs.values() if isinstance(value, Link)]
    return [source for source in dict.fromkeys(links) if source in graph]


def execution_order(graph: Graph, targets: Iterable[str]) -> Order:
    """Depth first from the targets, so that one target is finished before nodes that only the next one needs."""
    order = Order([], [])
    done: set[str] = set()
    for target in targets:
        path: list[str] = []
        stack = [(target, False)]
        while stack:
            node_id, expanded = stack.pop()
            if expanded:
                path.pop()
                done.add(node_id)
                order.nodes.append(node_id)
            elif node_id in path:
                order.cycles.append([*path[path.index(node_id) :], node_id])
            elif node_id not in done:
                path.append(node_id)
                stack.append((node_id, True))
                stack += [(source, False) for source in reversed(sources(graph, node_id))]
    return order

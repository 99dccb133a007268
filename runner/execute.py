"""Runs a validated graph: each needed node once, in order, called as ComfyUI calls it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from ..host import use
from ..host.protocol import Host
from .graph import Graph, Link, NodeCall
from .node_table import BROWSER_INPUTS, NodeTable
from .order import execution_order, sources
from .result_cache import ResultCache
from .validate import output_nodes
from .values import convert
from .workflow.api_format import to_api

OnNode = Callable[[str, str, int, int], None]


class NodeError(RuntimeError):
    """A node failed; the exception it raised is the cause."""

    def __init__(self, node_id: str, call: NodeCall, reason: str) -> None:
        super().__init__(f"node {node_id} ({call.title}, {call.class_type}): {reason}")
        self.node_id = node_id
        self.title = call.title
        self.class_type = call.class_type


def execute(
    graph: Graph,
    table: NodeTable,
    host: Host,
    saved: dict[str, Any] | None = None,
    on_node: OnNode | None = None,
    cache: ResultCache | None = None,
) -> dict[str, dict[str, Any]]:
    """Run a graph that passed `validate`, and return what its nodes show the user: id -> ui output.

    saved: the workflow as ComfyUI's editor saved it, for nodes to store in their output files.
    on_node: called before each node that runs with (id, title, index from 0, total).
    cache: reuses results of the previous run and stores those of this one. Without a cache a result is dropped as soon
    as no later node needs it.
    Raises NodeError; the host's interrupt passes through.
    """
    import torch

    outputs = output_nodes(graph, table)
    order = execution_order(graph, outputs).nodes
    hidden = {"PROMPT": to_api(graph), "EXTRA_PNGINFO": None if saved is None else {"workflow": saved}}
    ui_outputs: dict[str, dict[str, Any]] = {}
    with use(host), torch.inference_mode():
        results = {} if cache is None else cache.begin(graph, order, table)
        order = execution_order({n: call for n, call in graph.items() if n not in results}, outputs).nodes
        readers = Counter(source for node_id in order for source in sources(graph, node_id))
        for index, node_id in enumerate(order):
            host.check_interrupted()
            if on_node is not None:
                on_node(node_id, graph[node_id].title, index, len(order))
            results[node_id], ui = _run_node(node_id, graph[node_id], table, results, hidden)
            if cache is not None:
                cache.store(node_id, results[node_id])
            if ui:
                ui_outputs[node_id] = ui
            _drop_unread(node_id, graph, readers, results)
    return ui_outputs


def _run_node(
    node_id: str,
    call: NodeCall,
    table: NodeTable,
    results: dict[str, tuple[Any, ...]],
    hidden: dict[str, Any],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The node's outputs and its ui output."""
    spec = table.spec(call.class_type)
    assert spec is not None, call.class_type  # validate refuses unknown classes
    arguments = {
        name: results[value.node][value.slot] if isinstance(value, Link) else convert(spec.inputs[name], value)
        for name, value in call.inputs.items()
        if name not in BROWSER_INPUTS or name in spec.inputs
    }
    for name, kind in spec.hidden.items():
        arguments[name] = node_id if kind == "UNIQUE_ID" else hidden.get(kind)
    try:
        returned = getattr(spec.node_class(), spec.node_class.FUNCTION)(**arguments)
    except Exception as error:
        raise NodeError(node_id, call, f"{type(error).__name__}: {error}") from error
    return _unpack(node_id, call, returned, len(spec.returns))


def _drop_unread(node_id: str, graph: Graph, readers: Counter[str], results: dict[str, tuple[Any, ...]]) -> None:
    """Drop the results that no node after this one reads. readers: how many nodes have yet to read each result."""
    for source in sources(graph, node_id):
        readers[source] -= 1
        if not readers[source]:
            del results[source]
    if not readers[node_id]:
        del results[node_id]


def _unpack(node_id: str, call: NodeCall, returned: Any, expected: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a node returned, a tuple or {"ui": ..., "result": ...}, as (outputs, ui output)."""
    ui: dict[str, Any] = {}
    if isinstance(returned, dict):
        if "expand" in returned:
            raise NodeError(node_id, call, "it expands into other nodes, which only ComfyUI supports")
        ui = returned.get("ui", {})
        returned = returned.get("result", (None,) * expected)
    outputs = () if returned is None else returned
    if not isinstance(outputs, (tuple, list)) or len(outputs) != expected:
        actual = f"{len(outputs)} values" if isinstance(outputs, (tuple, list)) else type(outputs).__name__
        raise NodeError(node_id, call, f"it declares {expected} outputs but returned {actual}")
    return tuple(outputs), ui

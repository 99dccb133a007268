"""Runs a validated graph: each needed node once, in order, as ComfyUI calls it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from ..host import use
from ..host.protocol import Host
from .graph import Graph, Link, NodeCall, to_api
from .node_table import BROWSER_INPUTS, NodeTable
from .order import execution_order, sources
from .result_cache import ResultCache
from .validate import output_nodes
from .values import convert

OnNode = Callable[[str, str, int, int], None]


class NodeError(RuntimeError):
    """A node failed; the error it raised is the cause."""

    def __init__(self, node_id: str, call: NodeCall, reason: str) -> None:
        super().__init__(f"node {node_id} ({call.title}, {call.class_type}): {reason}")
        self.node_id = node_id
        self.title = call.title
        self.class_type = call.class_type


def execute(
    graph: Graph,
    table: NodeTable,
    host: Host,
    editor: dict[str, Any] | None = None,
    on_node: OnNode | None = None,
    cache: ResultCache | None = None,
) -> dict[str, dict[str, Any]]:
    """Run a graph in which `validate` found nothing, and return what its nodes say to the user: id -> ui result.

    editor: the file as ComfyUI saved it, which nodes may store beside their output, or None.
    on_node: called before each node that runs with (id, title, index from 0, total).
    cache: results of earlier runs, which are not made again, and where those of this run are kept.
    Without a cache a result is dropped as soon as no later node needs it. Raises NodeError; a stop asked of the host
    passes through.
    """
    import torch

    outputs = output_nodes(graph, table)
    order = execution_order(graph, outputs).nodes
    hidden = {"PROMPT": to_api(graph), "EXTRA_PNGINFO": None if editor is None else {"workflow": editor}}
    shown: dict[str, dict[str, Any]] = {}
    with use(host), torch.inference_mode():
        results = {} if cache is None else cache.recall(graph, order, table)
        order = execution_order({n: call for n, call in graph.items() if n not in results}, outputs).nodes
        readers = Counter(source for node_id in order for source in sources(graph, node_id))
        for index, node_id in enumerate(order):
            host.check_interrupted()
            if on_node is not None:
                on_node(node_id, graph[node_id].title, index, len(order))
            results[node_id], said = _run_node(node_id, graph[node_id], table, results, hidden)
            if cache is not None:
                cache.keep(node_id, results[node_id])
            if said:
                shown[node_id] = said
            for source in sources(graph, node_id):
                readers[source] -= 1
                if not readers[source]:
                    del results[source]
            if not readers[node_id]:
                del results[node_id]
    return shown


def _run_node(
    node_id: str,
    call: NodeCall,
    table: NodeTable,
    results: dict[str, tuple[Any, ...]],
    hidden: dict[str, Any],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
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
        answer = getattr(spec.node_class(), spec.node_class.FUNCTION)(**arguments)
    except Exception as error:
        raise NodeError(node_id, call, f"{type(error).__name__}: {error}") from error
    return _read_answer(node_id, call, answer, len(spec.returns))


def _read_answer(node_id: str, call: NodeCall, answer: Any, expected: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A node's answer, a tuple or {"ui": ..., "result": ...}, as (results, ui)."""
    said: dict[str, Any] = {}
    if isinstance(answer, dict):
        if "expand" in answer:
            raise NodeError(node_id, call, "it expands into other nodes, which only ComfyUI runs")
        said = answer.get("ui", {})
        answer = answer.get("result", (None,) * expected)
    result = () if answer is None else answer
    if not isinstance(result, (tuple, list)) or len(result) != expected:
        got = f"{len(result)} values" if isinstance(result, (tuple, list)) else type(result).__name__
        raise NodeError(node_id, call, f"it declares {expected} outputs but returned {got}")
    return tuple(result), said

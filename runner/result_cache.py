"""Caches node results by everything that went into them, so that the next run computes only what changed."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from typing import Any

from .graph import Graph, Link, NodeCall
from .node_table import NodeSpec, NodeTable
from .values import convert

_logger = logging.getLogger(__name__)


class ResultCache:
    """Results of the last graph's nodes; serves one run at a time.

    ComfyUI's rule: a result is reused if the node's class, its literals, its IS_CHANGED value and, recursively, all of
    its sources are equal. Output nodes always run, for their side effects. The cache never holds more than the results
    of one graph, because a run first evicts what it does not use.
    """

    def __init__(self) -> None:
        self._results: dict[str, tuple[Any, ...]] = {}
        self._signatures: dict[str, str] = {}

    def begin(self, graph: Graph, order: Sequence[str], table: NodeTable) -> dict[str, tuple[Any, ...]]:
        """Begin a run: evict what it does not use and return the cached results, node id -> outputs.

        order: the nodes the run needs, each after its sources.
        """
        signatures: dict[str, str | None] = {}
        for node_id in order:
            signatures[node_id] = _signature(node_id, graph[node_id], table, signatures)
        self._signatures = {node_id: text for node_id, text in signatures.items() if text is not None}
        used = set(self._signatures.values())
        self._results = {text: result for text, result in self._results.items() if text in used}
        return {n: self._results[text] for n, text in self._signatures.items() if text in self._results}

    def store(self, node_id: str, result: tuple[Any, ...]) -> None:
        """Store a result of the run that `begin` began."""
        if node_id in self._signatures:
            self._results[self._signatures[node_id]] = result

    def clear(self) -> None:
        """Drop all results, models included."""
        self._results.clear()
        self._signatures.clear()


def _signature(node_id: str, call: NodeCall, table: NodeTable, signatures: dict[str, str | None]) -> str | None:
    """A hash that is equal for equal work, or None for a node that has to run each time.

    signatures: those of the node's sources.
    """
    spec = table.spec(call.class_type)
    assert spec is not None, call.class_type  # validate refuses unknown classes
    if spec.is_output:
        return None
    inputs: list[Any] = []
    for name, value in sorted(call.inputs.items()):
        if isinstance(value, Link):
            if signatures[value.node] is None:
                return None
            inputs.append([name, "link", signatures[value.node], value.slot])
        elif name in spec.inputs:
            inputs.append([name, "value", convert(spec.inputs[name], value)])
    state = _state(spec, call)
    if state != state:  # NaN: the node changes every time
        return None
    depends_on_id = getattr(spec.node_class, "NOT_IDEMPOTENT", False) or "UNIQUE_ID" in spec.hidden.values()
    try:
        text = json.dumps([call.class_type, node_id if depends_on_id else None, state, inputs], sort_keys=True)
    except (TypeError, ValueError):  # a literal that is not JSON cannot be compared
        return None
    return hashlib.sha256(text.encode()).hexdigest()


def _state(spec: NodeSpec, call: NodeCall) -> Any:
    """What IS_CHANGED returns for the node's literals; as in ComfyUI, False without one and NaN if it raises."""
    is_changed = getattr(spec.node_class, "IS_CHANGED", None)
    if is_changed is None:
        return False
    literals = {
        name: convert(spec.inputs[name], value)
        for name, value in call.inputs.items()
        if not isinstance(value, Link) and name in spec.inputs
    }
    try:
        return is_changed(**literals)
    except Exception as error:  # the node reports the cause itself when it runs
        _logger.warning("%s: IS_CHANGED failed, so the node runs again: %s", call.title, error)
        return float("nan")

"""Results of the last run, kept by what went into them, so that the next run repeats only what differs."""

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
    """What the nodes of the last graph returned, for one run at a time.

    ComfyUI's rule: a result is taken again when the node's class, its constants, what its IS_CHANGED says and all of
    the same above it are equal. Output nodes always run: they are there for what they do. Never more is held than the
    results of one graph, because a run first drops what it has no use for.
    """

    def __init__(self) -> None:
        self._results: dict[str, tuple[Any, ...]] = {}
        self._signatures: dict[str, str] = {}

    def recall(self, graph: Graph, order: Sequence[str], table: NodeTable) -> dict[str, tuple[Any, ...]]:
        """Begin a run of a graph and return the results that need not be made again: node id -> outputs.

        order: the nodes the run needs, each after its sources.
        """
        signatures: dict[str, str | None] = {}
        for node_id in order:
            signatures[node_id] = _signature(node_id, graph[node_id], table, signatures)
        self._signatures = {node_id: text for node_id, text in signatures.items() if text is not None}
        wanted = set(self._signatures.values())
        self._results = {text: result for text, result in self._results.items() if text in wanted}
        return {n: self._results[text] for n, text in self._signatures.items() if text in self._results}

    def keep(self, node_id: str, result: tuple[Any, ...]) -> None:
        """Hold a result of the run that `recall` began."""
        if node_id in self._signatures:
            self._results[self._signatures[node_id]] = result

    def clear(self) -> None:
        """Let go of everything, models included."""
        self._results.clear()
        self._signatures.clear()


def _signature(node_id: str, call: NodeCall, table: NodeTable, above: dict[str, str | None]) -> str | None:
    """A text that is equal for equal work, or None for a node that has to run each time."""
    spec = table.spec(call.class_type)
    assert spec is not None, call.class_type  # validate refuses unknown classes
    if spec.is_output:
        return None
    inputs: list[Any] = []
    for name, value in sorted(call.inputs.items()):
        if isinstance(value, Link):
            if above[value.node] is None:
                return None
            inputs.append([name, "link", above[value.node], value.slot])
        elif name in spec.inputs:
            inputs.append([name, "value", convert(spec.inputs[name], value)])
    changed = _changed(spec, call)
    if changed != changed:  # NaN is how a node says that it changes every time
        return None
    own = getattr(spec.node_class, "NOT_IDEMPOTENT", False) or "UNIQUE_ID" in spec.hidden.values()
    try:
        text = json.dumps([call.class_type, node_id if own else None, changed, inputs], sort_keys=True)
    except (TypeError, ValueError):  # a constant that is no JSON can't be compared
        return None
    return hashlib.sha256(text.encode()).hexdigest()


def _changed(spec: NodeSpec, call: NodeCall) -> Any:
    """What IS_CHANGED says of the node's constants; False without one, NaN where it fails, as in ComfyUI."""
    ask = getattr(spec.node_class, "IS_CHANGED", None)
    if ask is None:
        return False
    constants = {
        name: convert(spec.inputs[name], value)
        for name, value in call.inputs.items()
        if not isinstance(value, Link) and name in spec.inputs
    }
    try:
        return ask(**constants)
    except Exception as error:  # the node itself will say what is wrong, in its own words
        _logger.warning("%s: IS_CHANGED failed, so it runs again: %s", call.title, error)
        return float("nan")

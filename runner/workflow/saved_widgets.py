"""Reads widget values from ComfyUI's saved format, which stores them by position.

The order is that of INPUT_TYPES. A seed is followed by the choice of its seed control. A widget that was converted to
an input keeps its position.
"""

from __future__ import annotations

from typing import Any

from ..node_table import InputSpec, NodeTable
from .constants import CONSTANTS
from .dynamic_prompts import rewrite

SEED_CONTROLS = ("fixed", "increment", "decrement", "randomize", "increment-wrap")


def widget_values(node: dict[str, Any], table: NodeTable) -> dict[str, Any]:
    """Value of each widget by name, the default where an older file has none; {} for an unknown class."""
    return _read(node, table)[0]


def surplus_problem(node: dict[str, Any], table: NodeTable) -> str | None:
    """What is wrong with a node that stores more values than it has widgets, or None."""
    surplus = _read(node, table)[1]
    # The browser side appends values of its own (players, buttons), but never numbers.
    if not any(type(value) in (int, float) for value in surplus):
        return None
    return (
        f"the file holds {len(surplus)} more widget values than this version of the node has; "
        "open the workflow in ComfyUI, check the node and save it again"
    )


def _read(node: dict[str, Any], table: NodeTable) -> tuple[dict[str, Any], list[Any]]:
    """Values by widget name, and the stored values that no widget takes."""
    spec = table.spec(node["type"])
    if spec is None:
        return _constant(node), []
    widgets = [entry for entry in spec.inputs.values() if entry.is_widget]
    stored = node.get("widgets_values") or []
    if isinstance(stored, dict):
        named = {entry.name: stored.get(entry.name, entry.default) for entry in widgets}
        return {entry.name: _queued(entry, named[entry.name]) for entry in widgets}, []
    values: dict[str, Any] = {}
    remaining = list(stored)
    for entry in widgets:
        values[entry.name] = remaining.pop(0) if remaining else entry.default
        if entry.control_values and remaining and remaining[0] in SEED_CONTROLS:
            del remaining[: entry.control_values]
    return {entry.name: _queued(entry, values[entry.name]) for entry in widgets}, remaining


def _queued(entry: InputSpec, value: Any) -> Any:
    """A stored value as the editor queues it."""
    return rewrite(value) if entry.options.get("dynamicPrompts") and isinstance(value, str) else value


def _constant(node: dict[str, Any]) -> dict[str, Any]:
    """The value of a node that only holds one."""
    name, stored = CONSTANTS.get(node["type"]), node.get("widgets_values")
    if name is None or not stored:
        return {}
    return {name: stored.get(name) if isinstance(stored, dict) else stored[0]}

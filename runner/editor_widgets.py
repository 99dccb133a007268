"""Widget values of ComfyUI's saved format, which stores them by position.

The order is that of INPUT_TYPES. A seed is followed by the choice of its seed control. An input turned into a link
keeps its place.
"""

from __future__ import annotations

from typing import Any

from .node_table import NodeTable

CONTROLS = ("fixed", "increment", "decrement", "randomize", "increment-wrap")


def widget_values(node: dict[str, Any], table: NodeTable) -> dict[str, Any]:
    """Value of each widget by name, defaults where the file is older than the widget; {} for an unknown class."""
    return _read(node, table)[0]


def widget_fault(node: dict[str, Any], table: NodeTable) -> str | None:
    """What is wrong with the stored values, or None."""
    left = _read(node, table)[1]
    # The browser side stores things of its own behind the declared values (players, buttons), but no numbers.
    if not any(type(value) in (int, float) for value in left):
        return None
    return (
        f"the file holds {len(left)} more widget values than this version of the node has; "
        "open the workflow in ComfyUI, check the node and save it again"
    )


def _read(node: dict[str, Any], table: NodeTable) -> tuple[dict[str, Any], list[Any]]:
    spec = table.spec(node["type"])
    if spec is None:
        return {}, []
    widgets = [entry for entry in spec.inputs.values() if entry.is_widget]
    stored = node.get("widgets_values") or []
    if isinstance(stored, dict):
        return {entry.name: stored.get(entry.name, entry.default) for entry in widgets}, []
    values: dict[str, Any] = {}
    left = list(stored)
    for entry in widgets:
        values[entry.name] = left.pop(0) if left else entry.default
        if entry.controls and left and left[0] in CONTROLS:
            del left[: entry.controls]
    return values, left

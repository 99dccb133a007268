"""Writes docs/nodes.md from the node table: python docs/generate/make_node_docs.py"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from definitions import Input, Node, nodes
from pages import DOCS, table, write

PAGE = DOCS / "nodes.md"


def page() -> str:
    """The page in Markdown."""
    parts = ["# Nodes", "<!-- Written by docs/generate/make_node_docs.py; a test compares. -->"]
    parts.append(
        "Every node with its inputs and outputs. An input without a default is a socket to connect; the others are "
        "values, which `acestep-xl run --set ID.INPUT=VALUE` can set."
    )
    for node in nodes():
        parts += _section(node)
    return "\n\n".join(parts) + "\n"


def _section(node: Node) -> Iterator[str]:
    yield f"## {node.title}"
    yield f"`{node.id}`. {node.description}"
    yield table(("Input", "Type", "Default", "Allowed", "Meaning"), [_row(entry) for entry in node.inputs])
    if node.outputs:
        rows = [(f"`{output.name}`", output.kind, output.tip) for output in node.outputs]
        yield table(("Output", "Type", "Meaning"), rows)


def _row(entry: Input) -> tuple[str, ...]:
    if not entry.is_value:
        return f"`{entry.name}`", entry.kind, "", "optional" if entry.optional else "", entry.tip
    kind = "choice" if entry.kind == "COMBO" else entry.kind
    default = _value(entry.default) if entry.has_default else "the first"
    return f"`{entry.name}`", kind, default, _allowed(entry), entry.tip


def _allowed(entry: Input) -> str:
    if entry.kind == "COMBO":
        return ", ".join(f"`{choice}`" for choice in entry.choices) or "the files found"
    if entry.limits is None:
        return ""
    return f"{number(entry.limits[0])} to {number(entry.limits[1])}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    shown = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f"`{shown}`" if shown else "empty"


def number(value: float) -> str:
    """A limit as text; large integers such as a seed's in full."""
    return f"{value:g}" if abs(value) < 1e6 else str(value)


def files() -> dict[Path, str]:
    """The page by its path."""
    return {PAGE: page()}


if __name__ == "__main__":
    write(files())

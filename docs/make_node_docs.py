"""Writes the page of all nodes and their inputs from the node table: python docs/make_node_docs.py"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acestep_xl import host, parameters
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.nodes.table import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

PAGE = Path(__file__).parent / "nodes.md"
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN")
CHOICES = {parameter.choices for parameter in parameters.PARAMETERS.values()}


def page() -> str:
    """The page in Markdown."""
    parts = ["# Nodes", "<!-- Written by docs/make_node_docs.py; a test compares. -->"]
    parts.append(
        "Every node with its inputs and outputs. An input without a default is a socket to connect; the others are "
        "values, which `acestep-xl run --set ID.INPUT=VALUE` can set."
    )
    with host.use(HeadlessHost([], Path("output"))):
        for node, node_class in NODE_CLASS_MAPPINGS.items():
            parts += _node(node, node_class)
    return "\n\n".join(parts) + "\n"


def _node(node: str, node_class: Any) -> Iterator[str]:
    yield f"## {NODE_DISPLAY_NAME_MAPPINGS[node]}"
    yield f"`{node}`. {node_class.DESCRIPTION}"
    declared = node_class.INPUT_TYPES()
    rows = [
        _input(name, *entry, optional=group == "optional")
        for group in ("required", "optional")
        for name, entry in declared.get(group, {}).items()
    ]
    yield _table(("Input", "Type", "Default", "Allowed", "Meaning"), rows)
    names = getattr(node_class, "RETURN_NAMES", node_class.RETURN_TYPES)
    tips = getattr(node_class, "OUTPUT_TOOLTIPS", [""] * len(names))
    outputs = [(f"`{n}`", kind, tip) for n, kind, tip in zip(names, node_class.RETURN_TYPES, tips, strict=True)]
    if outputs:
        yield _table(("Output", "Type", "Meaning"), outputs)


def _input(name: str, kind: Any, options: dict[str, Any], optional: bool) -> tuple[str, ...]:
    meaning = options.get("tooltip", "")
    if isinstance(kind, list):
        fixed = tuple(kind) in CHOICES
        allowed = ", ".join(f"`{choice}`" for choice in kind) if fixed else "the files found"
        return (
            f"`{name}`",
            "choice",
            _value(options["default"]) if "default" in options else "the first",
            allowed,
            meaning,
        )
    if kind not in WIDGETS:
        return f"`{name}`", kind, "", "may stay unconnected" if optional else "", meaning
    allowed = f"{_number(options['min'])} to {_number(options['max'])}" if "min" in options else ""
    return f"`{name}`", kind, _value(options["default"]), allowed, meaning


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    shown = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f"`{shown}`" if shown else "empty"


def _number(value: float) -> str:
    return f"{value:g}" if abs(value) < 1e6 else str(value)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def files() -> dict[Path, str]:
    """What the file holds."""
    return {PAGE: page()}


def main() -> None:
    for path, text in files().items():
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)


if __name__ == "__main__":
    main()

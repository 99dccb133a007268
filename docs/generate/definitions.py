"""The nodes as users see them, read from the node table, for the pages, pictures and locales."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acestep_xl import host, parameters
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.nodes.table import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

VALUES = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
FIXED = {parameter.choices for parameter in parameters.PARAMETERS.values()}


@dataclass(frozen=True)
class Input:
    """kind: ComfyUI's type, or COMBO. choices: empty if they are the files of the machine at hand."""

    name: str
    kind: str
    tip: str
    optional: bool
    choices: tuple[str, ...]
    default: Any
    has_default: bool
    limits: tuple[float, float] | None
    multiline: bool
    seed: bool

    @property
    def is_value(self) -> bool:
        """Whether the input is a value set on the node, rather than a socket to connect."""
        return self.kind in VALUES


@dataclass(frozen=True)
class Output:
    name: str
    kind: str
    tip: str


@dataclass(frozen=True)
class Node:
    id: str
    title: str
    description: str
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]


def nodes() -> tuple[Node, ...]:
    """Every node of the table, in its order."""
    with host.use(HeadlessHost([], Path("output"))):
        return tuple(_node(name, node_class) for name, node_class in NODE_CLASS_MAPPINGS.items())


def _node(name: str, node_class: Any) -> Node:
    declared = node_class.INPUT_TYPES()
    inputs = [
        _input(key, *entry, optional=group == "optional")
        for group in ("required", "optional")
        for key, entry in declared.get(group, {}).items()
    ]
    types = node_class.RETURN_TYPES
    names = getattr(node_class, "RETURN_NAMES", types)
    tips = getattr(node_class, "OUTPUT_TOOLTIPS", ("",) * len(types))
    outputs = [Output(*row) for row in zip(names, types, tips, strict=True)]
    return Node(name, NODE_DISPLAY_NAME_MAPPINGS[name], node_class.DESCRIPTION, tuple(inputs), tuple(outputs))


def _input(name: str, kind: Any, options: dict[str, Any], *, optional: bool) -> Input:
    choices = tuple(kind) if isinstance(kind, list) else ()
    return Input(
        name=name,
        kind="COMBO" if isinstance(kind, list) else kind,
        tip=options.get("tooltip", ""),
        optional=optional,
        choices=choices if choices in FIXED else (),
        default=options.get("default", choices[0] if choices else None),
        has_default="default" in options,
        limits=(options["min"], options["max"]) if "min" in options else None,
        multiline=bool(options.get("multiline")),
        seed=bool(options.get("control_after_generate")),
    )

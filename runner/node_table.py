"""Node classes and their declarations: inputs, outputs and hidden inputs, read once per table."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..host import inside_comfyui
from ..host.protocol import Host

WIDGET_TYPES = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
SEED_NAMES = ("seed", "noise_seed")
ANY = "*"
# Widgets that ComfyUI's browser side adds to a node and saves with it; node functions do not take them.
BROWSER_INPUTS = frozenset({"audioUI", "upload"})


@dataclass(frozen=True)
class InputSpec:
    """One input as INPUT_TYPES declares it; a list of choices has type COMBO."""

    name: str
    type: str
    choices: tuple[Any, ...]
    options: Mapping[str, Any]
    required: bool

    @property
    def is_widget(self) -> bool:
        """Whether ComfyUI draws a widget for the input, so that a user can enter a value."""
        return self.type in WIDGET_TYPES and not self.options.get("forceInput", False)

    @property
    def control_values(self) -> int:
        """How many values ComfyUI's seed control may store after this widget's own value."""
        if not self.options.get("control_after_generate", self.type == "INT" and self.name in SEED_NAMES):
            return 0
        return 2 if self.type == "COMBO" else 1

    @property
    def default(self) -> Any:
        """The initial value of ComfyUI's widget."""
        if "default" in self.options:
            return self.options["default"]
        if self.type == "COMBO":
            return self.choices[0] if self.choices else ""
        return {"INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False}[self.type]


@dataclass(frozen=True)
class NodeSpec:
    """The declaration of one node class."""

    node_class: type
    inputs: dict[str, InputSpec]
    hidden: dict[str, Any]
    returns: tuple[str, ...]
    is_output: bool

    @property
    def unsupported(self) -> str | None:
        """Why this runner cannot run the node, or None if it can."""
        if getattr(self.node_class, "INPUT_IS_LIST", False) or any(getattr(self.node_class, "OUTPUT_IS_LIST", ())):
            return "it works on lists (INPUT_IS_LIST or OUTPUT_IS_LIST), which only ComfyUI runs"
        if inspect.iscoroutinefunction(getattr(self.node_class, str(getattr(self.node_class, "FUNCTION", "")), None)):
            return "its function is async, which only ComfyUI runs"
        return None


@dataclass
class NodeTable:
    """The node classes that a graph may use, their display names, and what forecasts their memory, if anything.

    host: where graphs of these nodes are checked; None for the current one.
    """

    classes: Mapping[str, type]
    display_names: Mapping[str, str] = field(default_factory=dict)
    memory_planner: Any = None
    host: Host | None = None
    _specs: dict[str, NodeSpec] = field(default_factory=dict, repr=False)

    @staticmethod
    def shipped() -> NodeTable:
        """The pack's own nodes, and ComfyUI's where it is not there to run them. Imports torch."""
        from ..nodes import table

        if inside_comfyui():
            return NodeTable(table.NODE_CLASS_MAPPINGS, table.NODE_DISPLAY_NAME_MAPPINGS, table.MemoryPlanner)
        from ..nodes.native import table as native

        classes = {**table.NODE_CLASS_MAPPINGS, **native.NATIVE_CLASS_MAPPINGS}
        names = {**table.NODE_DISPLAY_NAME_MAPPINGS, **native.NATIVE_DISPLAY_NAME_MAPPINGS}
        return NodeTable(classes, names, table.MemoryPlanner)

    def title(self, class_type: str) -> str:
        return self.display_names.get(class_type, class_type)

    def spec(self, class_type: str) -> NodeSpec | None:
        """The class's declaration, None for an unknown class. Cached: choices may come from listing a folder."""
        if class_type not in self.classes:
            return None
        if class_type not in self._specs:
            self._specs[class_type] = _read_spec(self.classes[class_type])
        return self._specs[class_type]


def types_match(output_type: str, input_type: str) -> bool:
    """ComfyUI's rule for links: either type is "*", or the comma-separated alternatives overlap."""
    outputs, inputs = ({name.strip() for name in types.split(",")} for types in (output_type, input_type))
    return ANY in outputs | inputs or not outputs.isdisjoint(inputs)


def _read_spec(node_class: Any) -> NodeSpec:
    groups = node_class.INPUT_TYPES()
    inputs = [
        _read_input(name, entry, group == "required")
        for group in ("required", "optional")
        for name, entry in groups.get(group, {}).items()
    ]
    return NodeSpec(
        node_class,
        {spec.name: spec for spec in inputs},
        dict(groups.get("hidden", {})),
        tuple("COMBO" if isinstance(kind, list) else kind for kind in node_class.RETURN_TYPES),
        bool(getattr(node_class, "OUTPUT_NODE", False)),
    )


def _read_input(name: str, entry: Any, required: bool) -> InputSpec:
    kind = entry[0]
    options = entry[1] if len(entry) > 1 else {}
    if isinstance(kind, (list, tuple)):
        return InputSpec(name, "COMBO", tuple(kind), options, required)
    return InputSpec(name, kind, tuple(options.get("options", ())) if kind == "COMBO" else (), options, required)

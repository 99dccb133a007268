"""The parts of the node definitions that saved workflows rely on, in docs/node_snapshot.json; they may only grow.

python docs/generate/node_snapshot.py           report changes
python docs/generate/node_snapshot.py --write   add what is new; refuses what would break an old workflow
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pages import DOCS

from acestep_xl.nodes.table import NODE_CLASS_MAPPINGS

FILE = DOCS / "node_snapshot.json"

Definitions = dict[str, dict[str, Any]]


def snapshot() -> Definitions:
    """Every node's inputs in order and its outputs, as plain JSON."""
    return {name: _definition(node) for name, node in NODE_CLASS_MAPPINGS.items()}


def losses(before: Definitions, now: Definitions) -> list[str]:
    """What `now` would break in a workflow saved with `before`, in words."""
    missing = [f"node {name} is gone" for name in before if name not in now]
    return missing + [
        f"{name}: {loss}" for name in before if name in now for loss in _node_losses(before[name], now[name])
    ]


def _definition(node: Any) -> dict[str, Any]:
    declared = node.INPUT_TYPES()
    return {
        "required": [_input(name, *entry) for name, entry in declared.get("required", {}).items()],
        "optional": [_input(name, *entry) for name, entry in declared.get("optional", {}).items()],
        "hidden": sorted(declared.get("hidden", {})),
        "outputs": [list(pair) for pair in zip(node.RETURN_TYPES, getattr(node, "RETURN_NAMES", ()), strict=True)],
        "output_node": bool(getattr(node, "OUTPUT_NODE", False)),
    }


def _input(name: str, kind: Any, options: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": name, "type": "COMBO" if isinstance(kind, list) else kind}
    if isinstance(kind, list) and name not in _FILES:
        entry["choices"] = list(kind)
    return entry | {key: options[key] for key in ("min", "max") if key in options}


def _node_losses(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    losses = []
    if [entry["name"] for entry in now["required"]] != [entry["name"] for entry in before["required"]]:
        # A new required input breaks old API graphs, and shifts the values of the inputs after it in saved workflows.
        losses.append(f"required inputs were {_names(before['required'])}, are {_names(now['required'])}")
    optional = now["optional"][: len(before["optional"])]
    if [entry["name"] for entry in optional] != [entry["name"] for entry in before["optional"]]:
        losses.append(f"optional inputs began with {_names(before['optional'])}, are {_names(now['optional'])}")
    inputs = {entry["name"]: entry for entry in (*now["required"], *now["optional"])}
    for entry in (*before["required"], *before["optional"]):
        if entry["name"] in inputs:
            losses += _input_losses(entry, inputs[entry["name"]])
    if now["outputs"][: len(before["outputs"])] != before["outputs"]:
        losses.append(f"outputs began with {before['outputs']}, are {now['outputs']}")
    if missing := set(before["hidden"]) - set(now["hidden"]):
        losses.append(f"hidden inputs {sorted(missing)} are gone")
    if before["output_node"] and not now["output_node"]:
        losses.append("it was an output node")
    return losses


def _input_losses(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    name, losses = before["name"], []
    if now["type"] != before["type"]:
        losses.append(f"{name} was {before['type']}, is {now['type']}")
    if missing := [choice for choice in before.get("choices", ()) if choice not in now.get("choices", ())]:
        losses.append(f"{name} no longer offers {', '.join(missing)}")
    if "min" in before and now.get("min", before["min"]) > before["min"]:
        losses.append(f"{name} began at {before['min']}, begins at {now['min']}")
    if "max" in before and now.get("max", before["max"]) < before["max"]:
        losses.append(f"{name} went to {before['max']}, goes to {now['max']}")
    return losses


def _names(entries: list[dict[str, Any]]) -> str:
    return ", ".join(entry["name"] for entry in entries) or "none"


def main() -> int:
    before = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
    now = snapshot()
    for loss in losses(before, now):
        print(f"breaks saved workflows: {loss}", file=sys.stderr)
    if "--write" in sys.argv and not losses(before, now):
        FILE.write_text(json.dumps(now, indent=1) + "\n", "utf-8")
    elif before != now:
        print("the definitions have grown; run with --write to record them", file=sys.stderr)
    return 1 if losses(before, now) else 0


# Inputs whose choices are the files on the machine at hand.
_FILES = {"model", "text_encoder", "vae", "audio"}

if __name__ == "__main__":
    sys.exit(main())

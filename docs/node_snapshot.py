"""What saved workflows rely on in every node's definition, kept in docs/node_snapshot.json; it may only grow.

python docs/node_snapshot.py           say what changed
python docs/node_snapshot.py --write   take in what is new; refuses when an old workflow would break
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from acestep_xl.nodes.table import NODE_CLASS_MAPPINGS

FILE = Path(__file__).parent / "node_snapshot.json"

Definitions = dict[str, dict[str, Any]]


def snapshot() -> Definitions:
    """Every node's inputs in order and its outputs, as plain JSON."""
    return {name: _definition(node) for name, node in NODE_CLASS_MAPPINGS.items()}


def losses(before: Definitions, now: Definitions) -> list[str]:
    """What a workflow saved with `before` would miss or find moved in `now`, in words; empty if nothing."""
    gone = [f"node {name} is gone" for name in before if name not in now]
    return gone + [
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
    found = []
    if [entry["name"] for entry in now["required"]] != [entry["name"] for entry in before["required"]]:
        # A new required input stops an old API graph, and moves the values of those behind it in a saved workflow.
        found.append(f"required inputs were {_names(before['required'])}, are {_names(now['required'])}")
    kept = now["optional"][: len(before["optional"])]
    if [entry["name"] for entry in kept] != [entry["name"] for entry in before["optional"]]:
        found.append(f"optional inputs began with {_names(before['optional'])}, are {_names(now['optional'])}")
    inputs = {entry["name"]: entry for entry in (*now["required"], *now["optional"])}
    for entry in (*before["required"], *before["optional"]):
        if entry["name"] in inputs:
            found += _input_losses(entry, inputs[entry["name"]])
    if now["outputs"][: len(before["outputs"])] != before["outputs"]:
        found.append(f"outputs began with {before['outputs']}, are {now['outputs']}")
    if missing := set(before["hidden"]) - set(now["hidden"]):
        found.append(f"hidden inputs {sorted(missing)} are gone")
    if before["output_node"] and not now["output_node"]:
        found.append("it was an output node")
    return found


def _input_losses(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    name, found = before["name"], []
    if now["type"] != before["type"]:
        found.append(f"{name} was {before['type']}, is {now['type']}")
    if missing := [choice for choice in before.get("choices", ()) if choice not in now.get("choices", ())]:
        found.append(f"{name} no longer offers {', '.join(missing)}")
    if "min" in before and now.get("min", before["min"]) > before["min"]:
        found.append(f"{name} began at {before['min']}, begins at {now['min']}")
    if "max" in before and now.get("max", before["max"]) < before["max"]:
        found.append(f"{name} went to {before['max']}, goes to {now['max']}")
    return found


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
        print("there are changes; take them in with --write", file=sys.stderr)
    return 1 if losses(before, now) else 0


# Inputs whose choices are the files that this machine happens to have.
_FILES = {"model", "text_encoder", "vae", "audio"}

if __name__ == "__main__":
    sys.exit(main())

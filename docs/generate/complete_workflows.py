"""Updates the shipped workflows to the current nodes: python docs/generate/complete_workflows.py

Adds the inputs that nodes have gained, with their defaults, the pack and version of each node, and the URLs from which
ComfyUI can download the model files; and makes room for nodes that have grown. The graphs compute the same.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

from pages import ROOT, write

from acestep_xl import host
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.nodes.table import NODE_CLASS_MAPPINGS
from acestep_xl.parameters import ids
from acestep_xl.runner.model_bundles import Source, find_bundle
from acestep_xl.runner.shipped import SHIPPED

BUNDLE = "xl-sft"
HUB = "https://huggingface.co"
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN")
# Height of what the browser side adds below a node's inputs, in pixels.
ELEMENTS = {ids.SAVE: 165, ids.PREVIEW: 165, ids.SAVE_ENCODED: 165, ids.LOAD_AUDIO: 135, ids.REPAINT: 175}
# Heights in pixels of a socket's row, an input's row and the rest, in ComfyUI's Vue renderer and on its canvas.
VUE_SOCKET, VUE_ROW, VUE_REST, CANVAS_SOCKET, CANVAS_ROW, CANVAS_REST = 26, 35, 45, 20, 24, 10
GAP = 60  # from the bottom of a node to the next one, whose title is 30 pixels high


def complete(workflow: dict[str, Any]) -> dict[str, Any]:
    """The workflow as ComfyUI would save it today. Idempotent."""
    completed = json.loads(json.dumps(workflow))
    completed["models"] = models()
    version = _version()
    with host.use(HeadlessHost([], Path("output"))):
        for node in completed["nodes"]:
            if node["type"] in NODE_CLASS_MAPPINGS:
                _complete_node(node, version)
    _make_room(completed["nodes"])
    return completed


def models() -> list[dict[str, str]]:
    """The weights that the workflows use, as ComfyUI lists them; it ships the other files or finds them in these."""
    weights = [source for source in find_bundle(BUNDLE) if source.path.endswith(".safetensors")]
    return [_model(source) for source in weights]


def _model(source: Source) -> dict[str, str]:
    directory, name = source.target.rsplit("/", 1)
    return {"name": name, "url": f"{HUB}/{source.repo}/resolve/main/{source.path}", "directory": directory}


def _version() -> str:
    lines = (ROOT / "pyproject.toml").read_text("utf-8").splitlines()
    return next(line.split('"')[1] for line in lines if line.startswith("version = "))


def _complete_node(node: dict[str, Any], version: str) -> None:
    node["properties"] |= {"cnr_id": "acestep-xl", "ver": version}
    if node["type"] == ids.LOADER:
        node["properties"]["models"] = models()
    node_class: Any = NODE_CLASS_MAPPINGS[node["type"]]
    declared = node_class.INPUT_TYPES()
    names = {entry["name"] for entry in node["inputs"]}
    for group in ("required", "optional"):
        for name, (kind, *options) in declared.get(group, {}).items():
            if name not in names:
                _add_input(node, name, kind, options[0] if options else {}, optional=group == "optional")
    node["size"][1] = max(node["size"][1], _height(node, _advanced(declared)))


def _height(node: dict[str, Any], advanced: int) -> int:
    """Height that suits both of ComfyUI's renderers, rounded up to tens. The canvas has an extra row for a seed."""
    rows = sum("widget" in entry for entry in node["inputs"])
    sockets = max(len(node["inputs"]) - rows, len(node["outputs"]))
    seeds = sum(entry["name"].endswith("seed") for entry in node["inputs"])
    vue = VUE_REST + VUE_SOCKET * sockets + VUE_ROW * (rows - advanced)
    canvas = CANVAS_REST + CANVAS_SOCKET * sockets + CANVAS_ROW * (rows + seeds)
    return -(-(max(vue, canvas) + ELEMENTS.get(node["type"], 0)) // 10) * 10


def _add_input(node: dict[str, Any], name: str, kind: Any, options: dict[str, Any], *, optional: bool) -> None:
    choices = isinstance(kind, list)
    entry: dict[str, Any] = {"name": name, "type": "COMBO" if choices else kind, "link": None}
    if optional:
        entry["shape"] = 7  # how ComfyUI draws the socket of an optional input
    if choices or kind in WIDGETS:
        entry["widget"] = {"name": name}
        node["widgets_values"].append(options.get("default", kind[0] if choices else None))
    node["inputs"].append(entry)


def _advanced(declared: dict[str, Any]) -> int:
    """Number of inputs that the Vue renderer hides by default."""
    entries = [entry for group in ("required", "optional") for entry in declared.get(group, {}).values()]
    return sum(bool(options[0].get("advanced")) for _, *options in entries if options)


def _make_room(nodes: list[dict[str, Any]]) -> None:
    """Move nodes down where the node above them in their column now overlaps them."""
    columns: dict[float, list[dict[str, Any]]] = {}
    for node in sorted(nodes, key=lambda node: node["pos"][1]):
        columns.setdefault(node["pos"][0], []).append(node)
    for column in columns.values():
        for above, node in pairwise(column):
            if above["type"] != "MarkdownNote":
                node["pos"][1] = max(node["pos"][1], above["pos"][1] + above["size"][1] + GAP)


def files() -> dict[Path, str]:
    """Every workflow, completed."""
    return {path: _to_json(complete(json.loads(path.read_text("utf-8")))) for path in SHIPPED.values()}


def _to_json(workflow: dict[str, Any]) -> str:
    return json.dumps(workflow, indent=2, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    write(files())

"""Saved files and API exports of small graphs.

The saved files are written by hand as ComfyUI's editor 1.43 writes them: widget values by position, the seed control
after the seed, links as [id, from, slot, to, slot, type].
"""

from __future__ import annotations

import copy
from typing import Any

from toy_nodes import Save

from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.workflow.api_format import to_api
from acestep_xl.runner.workflow.read import read_workflow


class Source:
    RETURN_TYPES = ("MODEL", "VAE")
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "name": (["a.safetensors", "b.safetensors"], {}),
                "precision": ("COMBO", {"options": ["x", "y"]}),
            }
        }


class Polish:
    RETURN_TYPES = ("LATENT", "FLOAT")
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"amount": ("FLOAT", {"default": 0.5}), "latent": ("LATENT",)}}


class SaveFile(Save):
    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"latent": ("LATENT",), "vae": ("VAE",), "prefix": ("STRING", {"default": "out"})}}


def slot(name: str, kind: str, link: int | None = None, widget: bool = False) -> dict[str, Any]:
    """An input of a saved node."""
    entry: dict[str, Any] = {"localized_name": name, "name": name, "type": kind}
    if widget:
        entry["widget"] = {"name": name}
    return entry | {"link": link}


def node(
    node_id: int,
    kind: str,
    inputs: list[Any],
    outputs: list[tuple[str, list[int]]],
    values: Any,
    mode: int = 0,
    **extra: Any,
) -> dict[str, Any]:
    """A saved node. values: of its widgets. outputs: (type, ids of their links)."""
    return {
        "id": node_id,
        "type": kind,
        "pos": [10.5, 20],
        "size": [270, 120],
        "flags": {},
        "order": 0,
        "mode": mode,
        "inputs": inputs,
        "outputs": [{"localized_name": t, "name": t, "type": t, "links": links or None} for t, links in outputs],
        "properties": {"cnr_id": "acestep-xl", "ver": "0.1.0", "Node name for S&R": kind},
        "widgets_values": values,
    } | extra


def saved_file(nodes: list[Any], links: list[list[Any]], **extra: Any) -> dict[str, Any]:
    """A complete file as the editor saves it."""
    return {
        "id": "88ac5dad-efd7-40bb-84fe-fbaefdee1fa9",
        "revision": 0,
        "last_node_id": 99,
        "last_link_id": 99,
        "nodes": nodes,
        "links": links,
        "groups": [],
        "config": {},
        "extra": {"ds": {"scale": 1, "offset": [0, 0]}, "frontendVersion": "1.43.18"},
        "version": 0.4,
    } | extra


# The API export of the fixture `simple`.
SIMPLE_API = {
    "1": {
        "inputs": {"name": "b.safetensors", "precision": "y"},
        "class_type": "Source",
        "_meta": {"title": "Load It"},
    },
    "2": {
        "inputs": {
            "seed": 123456789012345678,
            "steps": 8,
            "scale": 4.5,
            "text": "a\nsong",
            "flag": False,
            "model": ["1", 0],
        },
        "class_type": "Sample",
        "_meta": {"title": "My sampler"},
    },
    "3": {
        "inputs": {"prefix": "audio/x", "latent": ["2", 0], "vae": ["1", 1]},
        "class_type": "Save",
        "_meta": {"title": "Save"},
    },
}


def api_of(data: dict[str, Any], table: NodeTable) -> dict[str, Any]:
    """What a workflow without problems exports in the API format."""
    workflow = read_workflow(copy.deepcopy(data), table)
    assert workflow.problems == []
    return to_api(workflow.graph)


def linked_steps(simple: dict[str, Any], origin: int, nodes: list[Any], links: list[Any]) -> dict[str, Any]:
    """The simple graph with its steps linked (20) to another node."""
    simple["nodes"][1]["inputs"][3]["link"] = 20
    simple["nodes"] += nodes
    simple["links"] += [*links, [20, origin, 0, 2, 3, "INT"]]
    return simple

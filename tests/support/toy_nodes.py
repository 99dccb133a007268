"""Node classes that need no network, and graphs of them, for tests of the runner."""

from __future__ import annotations

from typing import Any

from acestep_xl.runner.graph import Graph
from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.validate import validate
from acestep_xl.runner.workflow.read import read_workflow


class Thing:
    """A result whose lifetime a test can watch."""


class MakeThing:
    RETURN_TYPES = ("THING", "INT")
    FUNCTION = "make"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"name": ("STRING", {})}, "optional": {"after": ("THING",), "count": ("INT", {})}}

    def make(self, name: str, after: Any = None, count: int = 0) -> tuple[Thing, int]:
        return Thing(), count


class Loader:
    RETURN_TYPES = ("MODEL", "VAE")
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"model": (["song.safetensors", "demo"],), "vae": (["auto", "v"], {"default": "auto"})}}


class Sample:
    """Has a widget of each plain type, a seed control and an input that takes links only."""

    RETURN_TYPES = ("LATENT",)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": ("MODEL", {}),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**64 - 1, "control_after_generate": True}),
                "steps": ("INT", {"default": 20, "min": 1, "max": 100}),
            },
            "optional": {
                "scale": ("FLOAT", {"default": 7.0, "min": 1.0, "max": 30.0}),
                "text": ("STRING", {"default": "", "multiline": True}),
                "fed": ("FLOAT", {"forceInput": True}),
                "flag": ("BOOLEAN", {"default": True}),
            },
            "hidden": {"prompt": "PROMPT"},
        }


class SampleInModes(Sample):
    """Also has choices that are not all text, and an input of two types."""

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        inputs = super().INPUT_TYPES()
        inputs["optional"] |= {"mode": ("COMBO", {"options": ["a", "b", 3]}), "seconds": ("INT,FLOAT", {})}
        return inputs


class Save:
    RETURN_TYPES = ()
    FUNCTION = "run"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"latent": ("LATENT",)}, "optional": {"anything": ("*",)}}


def graph_of(table: NodeTable, **nodes: tuple[str, dict[str, Any]]) -> Graph:
    """A graph by node id, class and inputs: n1=("Loader", {...}) is the node "1"."""
    api = {name.removeprefix("n"): {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in nodes.items()}
    workflow = read_workflow(api, table)
    assert workflow.problems == []
    return workflow.graph


def valid_graph(table: NodeTable, **nodes: tuple[str, dict[str, Any]]) -> Graph:
    """A graph that may run."""
    graph = graph_of(table, **nodes)
    assert validate(graph, table) == []
    return graph

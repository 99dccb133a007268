"""The plot command's part: a plot node behind every sampler of a graph."""

from __future__ import annotations

from ..parameters import ids
from .graph import Graph, Link, NodeCall


def add_plots(graph: Graph, prefix: str) -> list[str]:
    """Add a plot of its schedule and run behind every sampler node; what is wrong, if there is none to plot."""
    samplers = [(node_id, call) for node_id, call in graph.items() if call.class_type == ids.SAMPLER]
    for node_id, call in samplers:
        inputs = {name: call.inputs[name] for name in ("sigmas", "sampler") if name in call.inputs}
        inputs |= {"latent": Link(node_id, 0), "filename_prefix": prefix}
        graph[f"plot of {node_id}"] = NodeCall(ids.PLOT, inputs, f"Plot of {call.title}")
    return [] if samplers else [f"there is no {ids.SAMPLER} node to plot"]

"""The plot command: runs a workflow with a plot node behind every sampler."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..parameters import ids
from .graph import Graph, Link, NodeCall, Problem
from .run_command import run

if TYPE_CHECKING:
    from .node_table import NodeTable


def plot(arguments: argparse.Namespace, table: NodeTable | None) -> int:
    """Run a workflow, plot the schedule and run of its samplers, and return the exit code.

    Raises UsageError before anything runs.
    """
    return run(arguments, table, partial(add_plots, prefix=f"plots/{Path(arguments.workflow).stem}"))


def add_plots(graph: Graph, prefix: str) -> list[Problem]:
    """Add a plot node behind every sampler node. Returns a problem if there is none. prefix: of the pictures' names."""
    samplers = [(node_id, call) for node_id, call in graph.items() if call.class_type == ids.SAMPLER]
    for node_id, call in samplers:
        inputs = {name: call.inputs[name] for name in ("sigmas", "sampler") if name in call.inputs}
        inputs |= {"latent": Link(node_id, 0), "filename_prefix": prefix}
        graph[f"plot of {node_id}"] = NodeCall(ids.PLOT, inputs, f"Plot of {call.title}")
    return [] if samplers else [Problem(f"the workflow has no {ids.SAMPLER} node to plot")]

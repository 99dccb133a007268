"""The plan command: what a workflow will hold in memory, without running it; and the line that `run` says first."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..host.protocol import Host
from .graph import Graph, to_api
from .terminal import UsageError, show

if TYPE_CHECKING:
    from .node_table import NodeTable

SMALLEST_CARD, LARGEST_CARD = 1.0, 1024.0  # GiB


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of `plan` beside those of every workflow."""
    command.add_argument(
        "--card", type=float, metavar="GIB", help="an empty graphics card of this size, present or not"
    )
    command.add_argument("--seconds", type=float, metavar="S", help="the length, where it comes from a source")


def check(arguments: argparse.Namespace) -> None:
    """Raises UsageError for a card or a length that cannot be."""
    faults = []
    if arguments.card is not None and not SMALLEST_CARD <= arguments.card <= LARGEST_CARD:
        faults.append(f"--card {arguments.card:g} is not between {SMALLEST_CARD:g} and {LARGEST_CARD:g} GiB")
    if arguments.seconds is not None and not 0 < arguments.seconds <= 600:
        faults.append(f"--seconds {arguments.seconds:g} is not between 0 and 600")
    if faults:
        raise UsageError(faults)


def print_plan(graph: Graph, table: NodeTable, arguments: argparse.Namespace) -> None:
    """Print the plan of every sampler, or with --json one object."""
    if table.planner is None:
        raise UsageError(["these nodes have no plan"])
    try:
        found = table.planner.forecast(to_api(graph), arguments.seconds, arguments.card)
    except (ValueError, OSError) as error:
        raise UsageError([str(error)]) from error
    if not found:
        raise UsageError(["no sampler of this pack is in the workflow, so there is nothing to plan"])
    if arguments.json:
        show(json.dumps({"status": "ok", "samplers": [_as_json(entry) for entry in found]}))
        return
    for entry in found:
        show(f"node {entry.node} ({graph[entry.node].title}):")
        for line in table.planner.table(entry.plan) if entry.plan is not None else [f"not known: {entry.unknown}"]:
            show(line)


def announce(graph: Graph, table: NodeTable, host: Host) -> None:
    """Say what the run will hold in memory, on a device that has a memory of its own."""
    if table.planner is None or host.memory_info() is None:
        return
    try:
        found = table.planner.forecast(to_api(graph), None, None)
    except (ValueError, OSError):
        return  # the loader will say it, with its node
    for entry in found:
        if entry.plan is not None:
            host.announce(table.planner.summary(entry.plan))


def _as_json(entry: Any) -> dict[str, Any]:
    return {key: value for key, value in asdict(entry).items() if value not in (None, "")}

"""The plan command: forecasts the memory that a workflow needs, without running it; `run` announces the same."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from ..host import use
from ..host.protocol import Host
from . import workflow_input
from .graph import Graph
from .node_table import NodeTable
from .terminal import OK, UsageError, print_result
from .workflow.api_format import to_api
from .workflow_input import create_host, prepare, read_input

SMALLEST_CARD, LARGEST_CARD = 1.0, 1024.0  # GiB
LONGEST_SONG = 600.0  # seconds


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Options of plan."""
    workflow_input.add_arguments(command)
    command.add_argument(
        "--card", type=float, metavar="GIB", help="plan for an empty graphics card of this size, present or not"
    )
    command.add_argument(
        "--seconds", type=float, metavar="S", help="length of the song, where it depends on a source recording"
    )


def plan(arguments: argparse.Namespace, table: NodeTable | None) -> int:
    """Print the memory plan of every sampler, or with --json one object, and return the exit code. Raises UsageError.

    table: the node classes; None for the shipped ones.
    """
    _check_ranges(arguments)
    source = read_input(arguments)
    host = create_host(arguments, None)
    with use(host):
        table = table or NodeTable.shipped()
        graph = prepare(source, table).graph
        _print_plans(graph, table, arguments)
    return OK


def announce(graph: Graph, table: NodeTable, host: Host) -> None:
    """Announce the memory that a run needs, if its device has memory of its own."""
    if table.memory_planner is None or host.memory_info() is None:
        return
    try:
        forecasts = table.memory_planner.forecast(to_api(graph), None, None)
    except (ValueError, OSError):
        return  # the loader will raise it again, with its node
    for forecast in forecasts:
        if forecast.plan is not None:
            host.announce(table.memory_planner.summary(forecast.plan))


def _check_ranges(arguments: argparse.Namespace) -> None:
    problems = []
    if arguments.card is not None and not SMALLEST_CARD <= arguments.card <= LARGEST_CARD:
        problems.append(f"--card {arguments.card:g} is not between {SMALLEST_CARD:g} and {LARGEST_CARD:g} GiB")
    if arguments.seconds is not None and not 0 < arguments.seconds <= LONGEST_SONG:
        problems.append(f"--seconds {arguments.seconds:g} is not between 0 and {LONGEST_SONG:g}")
    if problems:
        raise UsageError(problems)


def _print_plans(graph: Graph, table: NodeTable, arguments: argparse.Namespace) -> None:
    planner = table.memory_planner
    if planner is None:
        raise UsageError(["these nodes have no memory planner"])
    try:
        forecasts = planner.forecast(to_api(graph), arguments.seconds, arguments.card)
    except (ValueError, OSError) as error:
        raise UsageError([str(error)]) from error
    if not forecasts:
        raise UsageError(["the workflow has no sampler node of this pack or of ComfyUI, so there is nothing to plan"])
    if arguments.json:
        print_result(json.dumps({"status": "ok", "samplers": [_as_json(forecast) for forecast in forecasts]}))
        return
    for forecast in forecasts:
        print_result(f"node {forecast.node} ({graph[forecast.node].title}):")
        lines = planner.table(forecast.plan) if forecast.plan is not None else [f"cannot plan: {forecast.unknown}"]
        stored = [f"  model file: {forecast.storage}"] if forecast.storage else []
        for line in [*lines, *stored]:
            print_result(line)


def _as_json(forecast: Any) -> dict[str, Any]:
    return {key: value for key, value in asdict(forecast).items() if value not in (None, "")}

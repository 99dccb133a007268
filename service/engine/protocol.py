"""What the service requires of an engine, which runs graphs in this process or in ComfyUI."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ...host import use
from ...host.protocol import Host
from ...runner.graph import Graph
from ...runner.node_table import NodeTable

# The kinds of RunError that mean that memory ran out: the classes of this pack, torch and Python.
OUT_OF_MEMORY = ("OutOfMemory", "OutOfMemoryError", "MemoryError")
NO_SPACE = "No space left on device"  # in what the system, the nodes and ComfyUI say of a full disk

OnProgress = Callable[[float], None]
ShouldStop = Callable[[], bool]


class Engine(Protocol):
    """Runs one graph at a time, in the caller's thread."""

    @property
    def device(self) -> str:
        """The torch device it computes on, such as "cuda:0"."""
        ...

    def table(self) -> NodeTable:
        """The nodes, with the files that are there now as their choices."""
        ...

    def import_source(self, source: Path) -> str:
        """Make a file available to the node that loads audio, in place of the previous one. Returns its name there."""
        ...

    def run(self, graph: Graph, on_progress: OnProgress, should_stop: ShouldStop) -> list[Path]:
        """Run a graph that `validate` accepts, and return the files it saved, in order.

        on_progress: called with the share done, 0 to 1. should_stop: a True stops the run within a step.
        Raises Stopped, RunError, and DiskFull.
        """
        ...

    def close(self) -> None:
        """Free models and memory."""
        ...


class Stopped(Exception):  # noqa: N818 - not an error
    """The run ended because it was asked to stop."""


class RunError(RuntimeError):
    """A node failed. node_class: its class, or "". kind: the error's class name. reason: its message."""

    def __init__(self, node_class: str, kind: str, reason: str) -> None:
        super().__init__(f"{node_class}: {kind}: {reason}" if node_class else f"{kind}: {reason}")
        self.node_class, self.kind, self.reason = node_class, kind, reason


class DiskFull(RuntimeError):  # noqa: N818
    """There was no room for the result; the same run may succeed later."""


def node_table(host: Host) -> NodeTable:
    """The pack's nodes, with the files of this host as their choices."""
    table = NodeTable.shipped()
    table.host = host
    with use(host):
        for name in table.classes:
            table.spec(name)
    return table

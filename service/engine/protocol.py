"""What the service asks of the place where graphs run: without ComfyUI, or in its own queue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ...host import use
from ...host.protocol import Host
from ...runner.graph import Graph
from ...runner.node_table import NodeTable

OnProgress = Callable[[float], None]
ShouldStop = Callable[[], bool]


class Engine(Protocol):
    """Runs one graph at a time, in the thread that asks for it."""

    @property
    def device(self) -> str:
        """Where it computes, as a torch device name such as "cuda:0"."""
        ...

    def table(self) -> NodeTable:
        """The nodes as they are now, with the files there are to choose from."""
        ...

    def take_in(self, source: Path) -> str:
        """Make a file available to the node that loads audio; returns its name there."""
        ...

    def run(self, graph: Graph, on_progress: OnProgress, should_stop: ShouldStop) -> list[Path]:
        """Run a graph in which `validate` found nothing and return the files it saved, in order.

        on_progress is told the share done, 0 to 1. Stops within a step of should_stop answering yes.
        Raises Stopped, RunError, and DiskFull.
        """
        ...

    def close(self) -> None:
        """Let go of models and memory."""
        ...


class Stopped(Exception):  # noqa: N818 - no error
    """The run ended because it was asked to."""


class RunError(RuntimeError):
    """A node failed. node_class: its class, or "". kind: the name of the error's class. reason: the error's words."""

    def __init__(self, node_class: str, kind: str, reason: str) -> None:
        super().__init__(f"{node_class}: {kind}: {reason}" if node_class else f"{kind}: {reason}")
        self.node_class, self.kind, self.reason = node_class, kind, reason


class DiskFull(RuntimeError):  # noqa: N818
    """There was no room for the result; the same run may succeed later."""


def table_on(host: Host) -> NodeTable:
    """The pack's nodes, with the files that this host has to choose from."""
    table = NodeTable.shipped()
    with use(host):
        for name in table.classes:
            table.spec(name)
    return table

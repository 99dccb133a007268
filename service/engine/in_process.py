"""The engine without ComfyUI: the pack's own runner, with a result cache that keeps the checkpoint loaded."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from ...host import use
from ...host.headless import HeadlessHost, Interrupted
from ...host.protocol import Progress
from ...parameters import ids
from ...runner.execute import NodeError, execute
from ...runner.graph import Graph
from ...runner.node_table import NodeTable
from ...runner.order import execution_order
from ...runner.plan_command import announce
from ...runner.result_cache import ResultCache
from ...runner.validate import output_nodes
from .protocol import DiskFull, OnProgress, RunError, ShouldStop, Stopped, table_on

FULL = (errno.ENOSPC, errno.EDQUOT)
# Shares of a run's time: the sampler is nearly all of it. Any other node counts as one.
WEIGHTS = {ids.SAMPLER: 100.0, ids.DECODE: 8.0, ids.LOADER: 4.0}


class HeadlessEngine:
    """Runs graphs on one device.

    folder: for sources on their way in and files on their way out; nothing in it outlives a run. models: folders with
    ComfyUI's subfolders, searched in order. device: a torch device name, or None for the best one present, in which
    case ValueError is raised for one that isn't there.
    """

    def __init__(self, folder: Path, models: Sequence[Path], device: str | None = None) -> None:
        self._host = _Host(folder, models, device)
        self._cache = ResultCache()
        self._input, self._output = folder / "input", folder / "output"
        self.device = str(self._host.compute_device())

    def table(self) -> NodeTable:
        return table_on(self._host)

    def take_in(self, source: Path) -> str:
        """A second name of the same file, or a copy where the system has no such names."""
        shutil.rmtree(self._input, ignore_errors=True)
        self._input.mkdir(parents=True)
        target = self._input / source.name
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
        return source.name

    def run(self, graph: Graph, on_progress: OnProgress, should_stop: ShouldStop) -> list[Path]:
        shutil.rmtree(self._output, ignore_errors=True)
        table = self.table()
        follower = _Follower(graph, table, on_progress)
        self._host.begin(follower, should_stop)
        try:
            with use(self._host):
                announce(graph, table, self._host)
            said = execute(graph, table, self._host, on_node=follower.on_node, cache=self._cache)
        except Interrupted:
            raise Stopped from None
        except NodeError as error:
            raise self._explained(error) from error
        saved = [entry for shown in said.values() for entry in shown.get("audio", [])]
        return [self._output / entry["subfolder"] / entry["filename"] for entry in saved]

    def close(self) -> None:
        self._cache.clear()

    def _explained(self, error: NodeError) -> RunError | DiskFull:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in FULL:
            return DiskFull(f"no room for the result: {cause}")
        # Where the service keeps its files is nobody's business outside.
        return RunError(error.class_type, type(cause).__name__, str(cause).replace(f"{self._input}{os.sep}", ""))


class _Host(HeadlessHost):
    """A host whose folders are the service's, which asks its run whether to go on."""

    def __init__(self, folder: Path, models: Sequence[Path], device: str | None) -> None:
        super().__init__(models, folder / "output", self._bar, device)
        self._input = folder / "input"
        self._follower: _Follower | None = None
        self._should_stop: ShouldStop = bool

    def begin(self, follower: _Follower, should_stop: ShouldStop) -> None:
        self._follower, self._should_stop = follower, should_stop

    def input_directory(self) -> Path:
        return self._input

    def check_interrupted(self) -> None:
        if self._should_stop():
            self.interrupt()
        super().check_interrupted()

    def _bar(self, total: int) -> Progress:
        assert self._follower is not None, "bars are shown in runs only"
        return _Bar(self._follower, total)


class _Follower:
    """Adds the progress of nodes up to that of a run, by their weights in the order they run in."""

    def __init__(self, graph: Graph, table: NodeTable, on_progress: OnProgress) -> None:
        weights = {
            node_id: WEIGHTS.get(graph[node_id].class_type, 1.0)
            for node_id in execution_order(graph, output_nodes(graph, table)).nodes
        }
        self._total = sum(weights.values())
        self._before: dict[str, float] = {}
        done = 0.0
        for node_id, weight in weights.items():
            self._before[node_id] = done
            done += weight
        self._weights, self._tell = weights, on_progress
        self._node = ""

    def on_node(self, node_id: str, title: str, index: int, total: int) -> None:
        self._node = node_id
        self.share(0.0)

    def share(self, done: float) -> None:
        """Share of the running node that is done."""
        self._tell((self._before[self._node] + done * self._weights[self._node]) / self._total)


class _Bar:
    """A node's bar."""

    def __init__(self, follower: _Follower, total: int) -> None:
        self._follower, self._steps = follower, max(total, 1)

    def update(self, value: int, preview: object | None = None) -> None:
        self._follower.share(min(value / self._steps, 1.0))

    def close(self) -> None:
        """The next node's start closes it."""

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

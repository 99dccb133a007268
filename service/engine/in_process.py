"""The engine without ComfyUI: the pack's own runner, with a result cache that keeps the checkpoint loaded."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from ...host import use
from ...host.headless import HeadlessHost, Interrupted
from ...host.offload.accelerator import is_out_of_memory
from ...host.protocol import Progress
from ...runner.execute import NodeError, execute
from ...runner.graph import Graph
from ...runner.node_table import NodeTable
from ...runner.order import execution_order
from ...runner.plan_command import announce
from ...runner.result_cache import ResultCache
from ...runner.validate import output_nodes
from .progress import RunProgress
from .protocol import OUT_OF_MEMORY, DiskFull, OnProgress, RunError, ShouldStop, Stopped, node_table

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class HeadlessEngine:
    """Runs graphs on one device.

    folder: for sources and output files; nothing in it outlives a run. models: folders with ComfyUI's subfolders,
    searched in order. device: a torch device name, None for the best one present. Raises ValueError for a device that
    is absent.
    """

    def __init__(self, folder: Path, models: Sequence[Path], device: str | None = None) -> None:
        self._host = _Host(folder, models, device)
        self._cache = ResultCache()
        self._input, self._output = folder / "input", folder / "output"
        self.device = str(self._host.compute_device())

    def table(self) -> NodeTable:
        return node_table(self._host)

    def import_source(self, source: Path) -> str:
        """Hard-link the file, or copy it where the file system has no hard links."""
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
        progress = RunProgress(graph, execution_order(graph, output_nodes(graph, table)).nodes, on_progress)
        self._host.begin_run(progress, should_stop)
        try:
            with use(self._host):
                announce(graph, table, self._host)
            outputs = execute(
                graph, table, self._host, on_node=lambda node, *_: progress.start(node), cache=self._cache
            )
        except Interrupted:
            raise Stopped from None
        except NodeError as error:
            raise self._convert(error) from error
        saved = [entry for output in outputs.values() for entry in output.get("audio", [])]
        return [self._output / entry["subfolder"] / entry["filename"] for entry in saved]

    def close(self) -> None:
        self._cache.clear()

    def _convert(self, error: NodeError) -> RunError | DiskFull:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno in NO_SPACE:
            return DiskFull(f"no room for the result: {cause}")
        # Some devices report it as a RuntimeError with a message.
        kind = OUT_OF_MEMORY[0] if cause is not None and is_out_of_memory(cause) else type(cause).__name__
        # Clients must not learn where the service keeps its files.
        return RunError(error.class_type, kind, str(cause).replace(f"{self._input}{os.sep}", ""))


class _Host(HeadlessHost):
    """A host with the service's folders, which passes on progress and stops for one run at a time."""

    def __init__(self, folder: Path, models: Sequence[Path], device: str | None) -> None:
        super().__init__(models, folder / "output", self._progress_bar, device)
        self._input = folder / "input"
        self._run_progress: RunProgress | None = None
        self._should_stop: ShouldStop = bool

    def begin_run(self, progress: RunProgress, should_stop: ShouldStop) -> None:
        self._run_progress, self._should_stop = progress, should_stop

    def input_directory(self) -> Path:
        return self._input

    def output_problem(self, subfolder: str, file_name: str, size: int) -> str | None:
        """None: the service checks its folder when it starts, and waits for room on a full disk."""
        return None

    def rescue_folders(self) -> list[Path]:
        """None: a result that cannot be saved is made again."""
        return []

    def check_interrupted(self) -> None:
        if self._should_stop():
            self.interrupt()
        super().check_interrupted()

    def _progress_bar(self, total: int) -> Progress:
        assert self._run_progress is not None, "progress bars exist during a run only"
        return _ProgressBar(self._run_progress, total)


class _ProgressBar:
    """A node's progress bar."""

    def __init__(self, progress: RunProgress, total: int) -> None:
        self._progress, self._total = progress, max(total, 1)

    def update(self, value: int, preview: object | None = None) -> None:
        self._progress.advance(min(value / self._total, 1.0))

    def close(self) -> None:
        """The start of the next node closes it."""

    def __enter__(self) -> _ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

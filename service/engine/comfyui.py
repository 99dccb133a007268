"""The engine inside ComfyUI: each graph goes through ComfyUI's own queue, so the two never compute at once."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import aiohttp

from ...host import current_host
from ...host.protocol import Host
from ...runner.graph import Graph
from ...runner.node_table import NodeTable
from .comfyui_run import ComfyRun
from .protocol import OnProgress, ShouldStop, node_table

SOURCES = "acestep-xl"  # folder of sources in ComfyUI's input folder


class ComfyEngine:
    """Runs graphs in the ComfyUI at `url`. host: its folders and device; None for the current host."""

    def __init__(self, url: str, host: Host | None = None) -> None:
        self._url = url
        self._host = host or current_host()
        self.device = str(self._host.compute_device())

    def table(self) -> NodeTable:
        return node_table(self._host)

    def import_source(self, source: Path) -> str:
        folder = self._host.input_directory() / SOURCES
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copyfile(source, folder / source.name)
        return f"{SOURCES}/{source.name}"

    def run(self, graph: Graph, on_progress: OnProgress, should_stop: ShouldStop) -> list[Path]:
        outputs = asyncio.run(self._run(graph, on_progress, should_stop))
        saved = [entry for output in outputs.values() for entry in output.get("audio", ())]
        return [self._host.output_directory() / entry["subfolder"] / entry["filename"] for entry in saved]

    def close(self) -> None:
        """Remove the source; ComfyUI decides when to free its models."""
        shutil.rmtree(self._host.input_directory() / SOURCES, ignore_errors=True)

    async def _run(self, graph: Graph, on_progress: OnProgress, should_stop: ShouldStop) -> dict[str, Any]:
        # Not verified: a certificate of this server names its public host, not this machine.
        connector = aiohttp.TCPConnector(ssl=False)
        async with aiohttp.ClientSession(self._url + "/", connector=connector) as session:
            return await ComfyRun(session, graph, on_progress, should_stop).run()

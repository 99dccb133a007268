"""A server process for the power cut test: started in a moment, killed at any."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from service_tools import NoMedia, TinyEngine, read

from acestep_xl.runner.graph import Graph
from acestep_xl.service.engine.protocol import OnProgress, ShouldStop
from acestep_xl.service.queue.tasks import Tasks
from acestep_xl.service.settings import ServiceSettings

SECONDS = 0.02  # of each run
PRELOAD = ["power_cut", "acestep_xl.nodes.table", "acestep_xl.service.queue.tasks"]


class ChancyEngine(TinyEngine):
    """Saves other bytes in each run, so that a result that was made again can be told from itself."""

    def run(self, graph: Graph, on_progress: OnProgress, should_stop: ShouldStop) -> list[Path]:
        (path,) = super().run(graph, on_progress, should_stop)
        path.write_bytes(path.read_bytes() + os.urandom(64))
        return [path]


class Server:
    """A process that serves the queue of a folder.

    It is sent lists of tasks and answers ("accepted", task UUID, error code or None) for each; sent "tell", it answers
    ("told", {task UUID: (status, results, attempts, states of deliveries)}); unasked, it says ("ready",) and
    ("finished", task UUID, results so far).
    """

    def __init__(self, folder: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOAD)
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(folder, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def kill(self) -> None:
        """As a power cut does: nothing is finished, nothing is told."""
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _serve(folder: Path, pipe: Connection) -> None:
    asyncio.run(_live(folder, pipe))


async def _live(folder: Path, pipe: Connection) -> None:
    loop, orders = asyncio.get_running_loop(), asyncio.Queue[Any]()

    def listen() -> None:
        while True:
            order = pipe.recv()
            loop.call_soon_threadsafe(orders.put_nowait, order)

    settings = ServiceSettings(demo=True, allow_private=True)
    engine = ChancyEngine(folder / "work", SECONDS)
    async with Tasks.open(folder, engine, settings, NoMedia(folder)) as tasks:
        known: set[str] = set()
        reports: set[asyncio.Task[None]] = set()

        async def report(task_uuid: str) -> None:
            state = await tasks.state(task_uuid)
            assert state is not None
            pipe.send(("finished", task_uuid, state.results))

        def finished(task_uuid: str) -> None:
            made = asyncio.ensure_future(report(task_uuid))
            reports.add(made)
            made.add_done_callback(reports.discard)

        tasks.subscribe(finished)
        threading.Thread(target=listen, daemon=True).start()
        pipe.send(("ready",))
        while True:
            order = await orders.get()
            if order == "tell":
                pipe.send(("told", {uuid: await _told(tasks, uuid) for uuid in known}))
                continue
            known |= {task["taskUUID"] for task in order}
            for task in order:
                (refused,) = await tasks.submit([read(task)])
                pipe.send(("accepted", task["taskUUID"], refused and refused[0].code))


async def _told(tasks: Tasks, uuid: str) -> tuple[Any, ...] | None:
    state, details = await tasks.state(uuid), await tasks.details(uuid)
    if state is None or details is None:
        return None
    deliveries = [entry["state"] for result in details["results"] for entry in result.get("deliveries", [])]
    return state.status, state.results, [result["attempts"] for result in details["results"]], deliveries

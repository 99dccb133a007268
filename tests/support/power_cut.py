"""A server process for the power cut test: starts fast, and can be killed at any time."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import threading
from collections.abc import Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from service_tools import FakeRecordings, TinyEngine, read

from acestep_xl.runner.graph import Graph
from acestep_xl.service.engine.protocol import OnProgress, ShouldStop
from acestep_xl.service.queue.result_objects import AudioText
from acestep_xl.service.queue.tasks import Tasks
from acestep_xl.service.settings import ServiceSettings

SECONDS = 0.02  # of each run
PRELOAD = ["power_cut", "acestep_xl.nodes.table", "acestep_xl.service.queue.tasks"]


class RandomEngine(TinyEngine):
    """Saves different bytes in each run, so that a repeated run shows."""

    def run(self, graph: Graph, on_progress: OnProgress, should_stop: ShouldStop) -> list[Path]:
        (path,) = super().run(graph, on_progress, should_stop)
        path.write_bytes(path.read_bytes() + os.urandom(64))
        return [path]


class Server:
    """A process that serves the queue of a folder.

    Sent a list of tasks, it answers ("accepted", task UUID, error code or None) for each. Sent "report", it answers
    ("report", {task UUID: (status, results, attempts, states of deliveries)}). On its own it sends ("ready",), and
    ("finished", task UUID, results so far).
    """

    def __init__(self, folder: Path) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOAD)
        self.pipe, remote = context.Pipe()
        self._process = context.Process(target=_serve, args=(folder, remote), daemon=True)
        self._process.start()
        remote.close()

    def kill(self) -> None:
        """As a power cut does: nothing is finished, nothing is sent."""
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _serve(folder: Path, pipe: Connection) -> None:
    asyncio.run(_run(folder, pipe))


async def _run(folder: Path, pipe: Connection) -> None:
    loop, commands = asyncio.get_running_loop(), asyncio.Queue[Any]()

    def listen() -> None:
        while True:
            command = pipe.recv()
            loop.call_soon_threadsafe(commands.put_nowait, command)

    settings = ServiceSettings(demo=True, allow_private=True)
    engine = RandomEngine(folder / "work", SECONDS)
    async with Tasks.open(folder, engine, settings, FakeRecordings(folder)) as tasks:
        accepted: set[str] = set()
        reports: set[asyncio.Task[None]] = set()

        async def report(task_uuid: str) -> None:
            state = await tasks.state(task_uuid)
            assert state is not None
            pipe.send(("finished", task_uuid, _as_sent(state.results)))

        def finished(task_uuid: str) -> None:
            task = asyncio.ensure_future(report(task_uuid))
            reports.add(task)
            task.add_done_callback(reports.discard)

        tasks.subscribe(finished)
        threading.Thread(target=listen, daemon=True).start()
        pipe.send(("ready",))
        while True:
            command = await commands.get()
            if command == "report":
                pipe.send(("report", {uuid: await _report(tasks, uuid) for uuid in accepted}))
                continue
            accepted |= {task["taskUUID"] for task in command}
            for task in command:
                (refused,) = await tasks.submit([read(task)])
                pipe.send(("accepted", task["taskUUID"], refused and refused[0].code))


async def _report(tasks: Tasks, uuid: str) -> tuple[Any, ...] | None:
    state, details = await tasks.state(uuid), await tasks.details(uuid)
    if state is None or details is None:
        return None
    deliveries = [entry["state"] for result in details["results"] for entry in result.get("deliveries", [])]
    return state.status, _as_sent(state.results), [result["attempts"] for result in details["results"]], deliveries


def _as_sent(results: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results with their audio, which is only read when they are sent."""
    return [
        {key: value.read() if isinstance(value, AudioText) else value for key, value in result.items()}
        for result in results
    ]

"""How fast the task API answers while it works: `python benchmarks/service.py [--clients N] [--polls N]`.

Starts `acestep-xl serve --demo` in a process of its own, measures how long a poll takes while a long task runs in it,
then lets many clients ask at once, each for one song and an answer with the result, and writes a dated report. Memory
is read from /proc where there is one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import aiohttp
from machine import described

TARGET = 0.050  # seconds: the 95th percentile of polls while a task runs
MODEL = "runware:ace-step@v1.5-xl-sft"
PAUSE = 0.02  # seconds between two polls of one client; eager clients leave a second


@dataclass(frozen=True)
class Polls:
    """Seconds that polls took, and how busy the machine was: its load per core, where the system tells."""

    name: str
    seconds: Sequence[float]
    load: float

    def share(self, percent: int) -> float:
        return statistics.quantiles(self.seconds, n=100, method="inclusive")[percent - 1]


@dataclass(frozen=True)
class Crowd:
    """Many clients at once: how many were answered with a song, and seconds until the first and the last were."""

    clients: int
    answered: int
    first: float
    last: float
    memory: tuple[int, int]


def task(**values: Any) -> dict[str, Any]:
    basis = {
        "taskType": "audioInference",
        "taskUUID": str(uuid.uuid4()),
        "model": MODEL,
        "positivePrompt": "slow waltz",
    }
    return {**basis, "duration": 30, "steps": 1, **values}


@contextmanager
def server(folder: Path) -> Iterator[tuple[str, int]]:
    """The URL and the process id of a fresh server."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "acestep_xl", "serve", "--demo", "--port", str(port), "--data", str(folder)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--sync-timeout", "3600"], stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait(60)


async def started(client: aiohttp.ClientSession, url: str) -> None:
    for _ in range(600):
        try:
            async with client.get(f"{url}/health"):
                return
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.1)
    raise SystemExit("the server did not start")


async def ask(client: aiohttp.ClientSession, url: str, *tasks: dict[str, Any]) -> dict[str, Any]:
    async with client.post(f"{url}/v1", json=list(tasks)) as answer:
        return await answer.json()


async def polls(client: aiohttp.ClientSession, url: str, name: str, uuid: str, count: int) -> Polls:
    """Ask for the same task again and again, one request at a time."""
    taken = []
    for _ in range(count):
        start = time.perf_counter()
        answer = await ask(client, url, {"taskType": "getResponse", "taskUUID": uuid})
        taken.append(time.perf_counter() - start)
        assert answer["data"][0]["taskUUID"] == uuid, answer
        await asyncio.sleep(PAUSE)
    return Polls(name, taken, os.getloadavg()[0] / (os.cpu_count() or 1))


async def crowd(client: aiohttp.ClientSession, url: str, clients: int, process: int) -> Crowd:
    """All at once, each over a connection of its own."""
    before, start = resident(process), time.perf_counter()
    ends: list[float] = []

    async def one(seed: int) -> bool:
        answer = await ask(client, url, task(seed=seed, outputFormat="FLAC"))
        ends.append(time.perf_counter() - start)
        return [entry["seed"] for entry in answer.get("data", [])] == [seed]

    found = await asyncio.gather(*(one(seed) for seed in range(clients)))
    return Crowd(clients, sum(found), min(ends), max(ends), (before, resident(process)))


def resident(process: int) -> int:
    """Bytes of memory of the process, 0 where the system doesn't tell."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


async def measure(url: str, process: int, clients: int, count: int) -> tuple[list[Polls], Crowd]:
    connector = aiohttp.TCPConnector(limit=0)
    limits = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=limits) as client:
        await started(client, url)
        done = task()
        await ask(client, url, done)  # the network is loaded with the first task
        found = [await polls(client, url, "nothing runs", done["taskUUID"], count)]
        long = task(duration=300, steps=300, deliveryMethod="async", numberResults=4)
        await ask(client, url, long)
        found.append(await polls(client, url, "a song of 300 s is being made", long["taskUUID"], count))
        state = await ask(client, url, {"taskType": "getResponse", "taskUUID": long["taskUUID"]})
        if state["data"][-1]["status"] != "processing":
            raise SystemExit("the long task ended before its polls did; take fewer --polls")
        await ask(client, url, {"taskType": "cancelTask", "taskUUID": long["taskUUID"]})
        asking = asyncio.ensure_future(crowd(client, url, clients, process))
        await asyncio.sleep(1)
        found.append(await polls(client, url, f"{clients} clients wait for songs", done["taskUUID"], count))
        return found, await asking


HEAD = "| polled while | polls | median ms | 95 % ms | longest ms | load per core |\n|---|---|---|---|---|---|"
EXPLANATION = """\
The server is `acestep-xl serve --demo`: the tiny network of the pack on the CPU, on the same cores as the server
and this benchmark, which a GPU would not take. A poll is one `getResponse` over HTTP, from sending it to the parsed
answer. The clients that wait sent one task each at the same moment, `deliveryMethod` sync, and got its song as the
answer. Load is the system's average of the last minute over its cores; above 1 other work waits for the same cores, and
the times tell as much of that as of the server."""


def report(found: Sequence[Polls], many: Crowd) -> str:
    """The report as Markdown."""
    worst = found[1].share(95)
    verdict = f"{1000 * worst:.1f} ms, target below {1000 * TARGET:.0f}: {'met' if worst < TARGET else 'missed'}"
    lines = [
        f"| {one.name} | {len(one.seconds)} | {1000 * statistics.median(one.seconds):.1f} | {1000 * one.share(95):.1f} "
        f"| {1000 * max(one.seconds):.1f} | {one.load:.1f} |"
        for one in found
    ]
    table = "\n".join([HEAD, *lines])
    before, after = (size / 2**20 for size in many.memory)
    return f"""# The task API under load, {date.today()}

95th percentile of polls while a task runs: {verdict}.

{many.clients} clients at once: {many.answered} answered with their song, the first after {many.first:.1f} s, the last
after {many.last:.1f} s, which is {many.last / many.clients:.2f} s a song. The server's memory was {before:.0f} MiB
before and {after:.0f} MiB after.

{table}

{EXPLANATION}

{described(aiohttp)}
"""


def main(arguments: list[str]) -> int:
    """Exit status 1 when a client is left without an answer, or the target is missed."""
    parser = argparse.ArgumentParser(description="Polls and clients of the task API while it works.")
    parser.add_argument("--clients", type=int, default=200, help="how many ask at once (200)")
    parser.add_argument("--polls", type=int, default=500, help="how many polls are timed in each part (500)")
    parser.add_argument("--report", type=Path, default=Path(__file__).parents[1] / "docs" / "benchmarks")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as (url, process):
        found, many = asyncio.run(measure(url, process, options.clients, options.polls))
    options.report.mkdir(parents=True, exist_ok=True)
    path = options.report / f"{date.today()}-service.md"
    path.write_text(report(found, many))
    print(f"report: {path}")
    return int(many.answered < many.clients or found[1].share(95) >= TARGET)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Response times of the task API under load: `python benchmarks/service.py [--clients N] [--polls N]`.

Starts `acestep-xl serve --demo` in a new process, times polls while a long task runs, then sends one synchronous task
from each of many clients at once, and writes `service.md`. Memory is read from /proc if there is one.
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
import reports
from machine import describe

TARGET = 0.050  # seconds: the 95th percentile of polls while a task runs
MODEL = "runware:ace-step@v1.5-xl-sft"
PAUSE = 0.02  # seconds between two polls of one client; an eager client waits a second


@dataclass(frozen=True)
class Polls:
    """Seconds of each poll, and the machine's load per core."""

    name: str
    seconds: Sequence[float]
    load: float

    def percentile(self, percent: int) -> float:
        return statistics.quantiles(self.seconds, n=100, method="inclusive")[percent - 1]


@dataclass(frozen=True)
class Crowd:
    """Many clients at once: how many got a song, seconds until the first and the last, memory before and after."""

    clients: int
    answered: int
    first: float
    last: float
    memory: tuple[int, int]


def task(**values: Any) -> dict[str, Any]:
    defaults = {
        "taskType": "audioInference",
        "taskUUID": str(uuid.uuid4()),
        "model": MODEL,
        "positivePrompt": "slow waltz",
    }
    return {**defaults, "duration": 30, "steps": 1, **values}


@contextmanager
def server(folder: Path) -> Iterator[tuple[str, int]]:
    """The URL and the process id of a fresh server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "acestep_xl", "serve", "--demo", "--port", str(port), "--data", str(folder)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--sync-timeout", "3600"], stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait(60)


async def wait_until_started(client: aiohttp.ClientSession, url: str) -> None:
    for _ in range(600):
        try:
            async with client.get(f"{url}/health"):
                return
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.1)
    raise SystemExit("the server did not start")


async def send(client: aiohttp.ClientSession, url: str, *tasks: dict[str, Any]) -> dict[str, Any]:
    async with client.post(f"{url}/v1", json=list(tasks)) as response:
        return await response.json()


async def poll(client: aiohttp.ClientSession, url: str, name: str, uuid: str, count: int) -> Polls:
    """Poll the same task repeatedly, one request at a time."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        response = await send(client, url, {"taskType": "getResponse", "taskUUID": uuid})
        times.append(time.perf_counter() - start)
        assert response["data"][0]["taskUUID"] == uuid, response
        await asyncio.sleep(PAUSE)
    return Polls(name, times, os.getloadavg()[0] / (os.cpu_count() or 1))


async def send_all(client: aiohttp.ClientSession, url: str, clients: int, process: int) -> Crowd:
    """Send a synchronous task from every client at once, each over its own connection."""
    before, start = resident_bytes(process), time.perf_counter()
    ends: list[float] = []

    async def get_song(seed: int) -> bool:
        response = await send(client, url, task(seed=seed, outputFormat="FLAC"))
        ends.append(time.perf_counter() - start)
        return [entry["seed"] for entry in response.get("data", [])] == [seed]

    has_song = await asyncio.gather(*(get_song(seed) for seed in range(clients)))
    return Crowd(clients, sum(has_song), min(ends), max(ends), (before, resident_bytes(process)))


def resident_bytes(process: int) -> int:
    """Resident memory of a process, 0 if the system doesn't report it."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


async def measure(url: str, process: int, clients: int, count: int) -> tuple[list[Polls], Crowd]:
    connector = aiohttp.TCPConnector(limit=0)
    limits = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=limits) as client:
        await wait_until_started(client, url)
        first = task()
        await send(client, url, first)  # the first task loads the network
        rows = [await poll(client, url, "nothing runs", first["taskUUID"], count)]
        long = task(duration=300, steps=300, deliveryMethod="async", numberResults=4)
        await send(client, url, long)
        rows.append(await poll(client, url, "a song of 300 s is generated", long["taskUUID"], count))
        state = await send(client, url, {"taskType": "getResponse", "taskUUID": long["taskUUID"]})
        if state["data"][-1]["status"] != "processing":
            raise SystemExit("the long task ended before its polls did; use fewer --polls")
        await send(client, url, {"taskType": "cancelTask", "taskUUID": long["taskUUID"]})
        sending = asyncio.ensure_future(send_all(client, url, clients, process))
        await asyncio.sleep(1)
        rows.append(await poll(client, url, f"{clients} clients wait for songs", first["taskUUID"], count))
        return rows, await sending


HEAD = "| while | polls | median ms | 95 % ms | longest ms | load per core |\n|---|---|---|---|---|---|"
EXPLANATION = """\
The server is `acestep-xl serve --demo`: the pack's tiny network on the CPU, on the same cores as the server
and this benchmark, which would be free if a GPU ran the network. A poll is one `getResponse` over HTTP, from sending it
to parsing its response. Each waiting client sent one task at the same moment, with `deliveryMethod` sync, and got its
song in the response. Load is the system's average over the last minute, per core; above 1 other work competes for the
cores and affects the times as much as the server does."""


def report(rows: Sequence[Polls], crowd: Crowd) -> str:
    """The report as Markdown."""
    busy = rows[1].percentile(95)
    verdict = f"{1000 * busy:.1f} ms, target below {1000 * TARGET:.0f}: {'met' if busy < TARGET else 'missed'}"
    lines = [
        f"| {row.name} | {len(row.seconds)} | {1000 * statistics.median(row.seconds):.1f} "
        f"| {1000 * row.percentile(95):.1f} | {1000 * max(row.seconds):.1f} | {row.load:.1f} |"
        for row in rows
    ]
    table = "\n".join([HEAD, *lines])
    before, after = (size / 2**20 for size in crowd.memory)
    return f"""# The task API under load, {date.today()}

95th percentile of polls while a task runs: {verdict}.

{crowd.clients} clients at once: {crowd.answered} got their song, the first after {crowd.first:.1f} s, the last after
{crowd.last:.1f} s, which is {crowd.last / crowd.clients:.2f} s per song. The server's memory was {before:.0f} MiB
before and {after:.0f} MiB after.

{table}

{EXPLANATION}

{describe(aiohttp)}
"""


def main(arguments: list[str]) -> int:
    """Exit status 1 if a client gets no response or the target is missed."""
    parser = argparse.ArgumentParser(description="Response times of the task API under load.")
    parser.add_argument("--clients", type=int, default=200, help="clients that send a task at once (200)")
    parser.add_argument("--polls", type=int, default=500, help="polls timed in each part (500)")
    reports.add_option(parser)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as (url, process):
        rows, crowd = asyncio.run(measure(url, process, options.clients, options.polls))
    reports.write(options.report, "service", report(rows, crowd))
    return int(crowd.answered < crowd.clients or rows[1].percentile(95) >= TARGET)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

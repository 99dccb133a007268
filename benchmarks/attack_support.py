"""A real server under attack: starting it, watching its memory and its response times from outside.

The attacks run in their own processes, so that they delay the server only as far as they share its cores. Everything
here uses the command line and the API, so that it also measures older checkouts: `python benchmarks/attack.py
--checkout PATH`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

MODEL = "runware:ace-step@v1.5-xl-sft"
ROOT = Path(__file__).parents[1]
START_SECONDS = 120
SAMPLE_SECONDS = 0.05


@dataclass
class Server:
    """A running `acestep-xl serve --demo`. folder: its --data."""

    url: str
    process: subprocess.Popen[bytes]
    folder: Path
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def resident_bytes(self) -> int:
        """Resident memory, from /proc."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def start(folder: Path, *options: str, key: str = "", checkout: Path = ROOT, port: int = 0) -> Server:
    """Start a server, which may still be loading when this returns; `wait_until_ready` waits. port 0: a free one."""
    port = port or free_port()
    command = [sys.executable, "-c", IMPORT_AND_RUN, str(checkout), "serve", "--demo", "--port", str(port)]
    environment = {**os.environ, "ACESTEP_XL_API_KEY": key, "OMP_NUM_THREADS": "1"}
    with (folder / "serve.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--data", str(folder / "data"), *options], stdout=log, stderr=log, env=environment
        )
    return Server(f"http://127.0.0.1:{port}", process, folder / "data", key)


@contextmanager
def running(*options: str, key: str = "", checkout: Path = ROOT) -> Iterator[Server]:
    """A server on a fresh folder, ready to answer, and stopped at the end."""
    with tempfile.TemporaryDirectory() as folder:
        server = start(Path(folder), *options, key=key, checkout=checkout)
        try:
            wait_until_ready(server)
            yield server
        finally:
            stop(server)


def stop(server: Server) -> None:
    """Terminate it, and kill it if it does not end."""
    server.process.terminate()
    try:
        server.process.wait(30)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()


def wait_until_ready(server: Server) -> None:
    """Return once the server answers /health. Raises SystemExit if it ends first."""

    async def wait() -> None:
        end = time.monotonic() + START_SECONDS
        async with client() as session:
            while time.monotonic() < end and server.process.poll() is None:
                with suppress(aiohttp.ClientError, asyncio.TimeoutError):
                    async with session.get(f"{server.url}/health", timeout=aiohttp.ClientTimeout(5)):
                        return
                await asyncio.sleep(0.1)
        raise SystemExit("the server did not start: " + (server.folder.parent / "serve.log").read_text()[-2000:])

    asyncio.run(wait())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@asynccontextmanager
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    """A client without limits of its own."""
    connector = aiohttp.TCPConnector(limit=0, force_close=False)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        yield session


async def send(session: aiohttp.ClientSession, server: Server, *tasks: dict[str, Any]) -> dict[str, Any]:
    """POST tasks with the server's key, and return the answer."""
    async with session.post(f"{server.url}/v1", json=list(tasks), headers=server.headers) as response:
        return json.loads(await response.read())


def task(**values: Any) -> dict[str, Any]:
    """A short song."""
    required = {"taskType": "audioInference", "taskUUID": str(uuid.uuid4()), "model": MODEL}
    return {**required, "positivePrompt": "slow waltz", "duration": 30, "steps": 1, **values}


def poll(task_uuid: str) -> dict[str, Any]:
    return {"taskType": "getResponse", "taskUUID": task_uuid}


@dataclass
class Watch:
    """What was seen from outside while something went on.

    seconds: of each request; a request that failed counts with the time until it did, and in `failures`. memory: before
    and the highest, in bytes.
    """

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    memory: tuple[int, int] = (0, 0)

    @property
    def more_mib(self) -> float:
        return (self.memory[1] - self.memory[0]) / 2**20

    @property
    def longest(self) -> float:
        return max(self.seconds, default=float("nan"))

    @property
    def percentile_95(self) -> float:
        if len(self.seconds) < 2:
            return self.longest
        return statistics.quantiles(self.seconds, n=100, method="inclusive")[94]


async def watch(server: Server, work: Coroutine[Any, Any, Any], polled: str = "", timeout: float = 120.0) -> Watch:
    """Carry out `work`, and meanwhile ask the server again and again, with a connection for each question.

    polled: the UUID of a task to poll; empty to ask for /health. Raises what `work` raises.
    """
    seen, before, peak = Watch(), server.resident_bytes(), 0
    attack = asyncio.ensure_future(work)
    body = json.dumps([poll(polled)])
    headers = {**server.headers, "Content-Type": "application/json"}
    limits = aiohttp.ClientTimeout(total=timeout)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True), timeout=limits) as session:
        while not attack.done() or len(seen.seconds) < 20:
            start = time.perf_counter()
            try:
                if polled:
                    question = session.post(f"{server.url}/v1", data=body, headers=headers)
                else:
                    question = session.get(f"{server.url}/health")
                async with question as answer:
                    await answer.read()
                    if answer.status != 200:
                        seen.failures.append(f"status {answer.status}")
            except (aiohttp.ClientError, asyncio.TimeoutError) as error:
                seen.failures.append(type(error).__name__)
            seen.seconds.append(time.perf_counter() - start)
            peak = max(peak, server.resident_bytes())
            await asyncio.sleep(SAMPLE_SECONDS)
    await attack
    seen.memory = (before, max(peak, server.resident_bytes()))
    return seen


async def in_process(function: str, *arguments: str) -> str:
    """Run a function of the calling script in a process of its own: `script.py --attack FUNCTION ARGUMENTS`. Returns
    its output."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, sys.argv[0], "--attack", function, *arguments, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return output.decode().strip()


@dataclass(frozen=True)
class Row:
    """One figure of a report, its target and whether it is met."""

    attack: str
    figure: str
    target: str
    met: bool


def table(rows: Sequence[Row]) -> str:
    """The figures as Markdown."""
    lines = [f"| {row.attack} | {row.figure} | {row.target} | {'yes' if row.met else 'NO'} |" for row in rows]
    return "\n".join(["| attack | figure | target | met |", "|---|---|---|---|", *lines])


def add_checkout(parser: argparse.ArgumentParser) -> None:
    """Add --checkout, the pack to measure."""
    parser.add_argument("--checkout", type=Path, default=ROOT, help="the pack's folder (this one)")


# Imports the pack of a checkout under its stable name, whatever is installed, and runs its command line.
IMPORT_AND_RUN = """
import importlib.util, pathlib, sys
folder = pathlib.Path(sys.argv.pop(1)).resolve()
spec = importlib.util.spec_from_file_location(
    "acestep_xl", folder / "__init__.py", submodule_search_locations=[str(folder)])
package = importlib.util.module_from_spec(spec)
sys.modules["acestep_xl"] = package
spec.loader.exec_module(package)
from acestep_xl.__main__ import main
sys.exit(main())
"""

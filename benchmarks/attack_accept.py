"""How fast tasks are accepted: `python benchmarks/attack_accept.py [--tasks N] [--checkout PATH]`.

Sends tasks in arrays, then one by one from many connections, while a first song keeps the worker busy; polls meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

import attack_support as support
from attack_support import Row, Server

ARRAY, CONNECTIONS = 100, 32
TARGET_SECONDS = 20.0  # for 10,000 tasks


async def in_arrays(server: Server, total: int) -> None:
    """Send so many tasks in arrays, over four connections."""
    waiting = asyncio.Semaphore(4)
    async with support.client() as session:

        async def send(count: int) -> None:
            async with waiting:
                check(await support.send(session, server, *(song() for _ in range(count))), count)

        sizes = [min(ARRAY, total - start) for start in range(0, total, ARRAY)]
        await asyncio.gather(*(send(size) for size in sizes))


async def one_by_one(server: Server, total: int) -> None:
    """Send so many tasks, each in a request of its own."""
    waiting = asyncio.Semaphore(CONNECTIONS)
    async with support.client() as session:

        async def send() -> None:
            async with waiting:
                check(await support.send(session, server, song()), 1)

        await asyncio.gather(*(send() for _ in range(total)))


def song() -> dict[str, object]:
    return support.task(deliveryMethod="async", duration=240, steps=300)


def check(answer: dict[str, object], count: int) -> None:
    data = answer.get("data")
    if not isinstance(data, Sequence) or len(data) != count:
        raise SystemExit(f"not all tasks were accepted: {str(answer)[:500]}")


def cpu_seconds(server: Server) -> float:
    """What the server has computed so far, from /proc; the wall clock also counts what others did."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(server: Server, total: int) -> list[Row]:
    rows = []
    for name, send in (("in arrays", in_arrays), ("one by one", one_by_one)):
        start, cpu = time.perf_counter(), cpu_seconds(server)
        seen = await support.watch(server, send(server, total))
        seconds, cpu = time.perf_counter() - start, cpu_seconds(server) - cpu
        target = TARGET_SECONDS * total / 10_000
        health = f"/health {1000 * seen.percentile_95:.0f} ms at the 95th percentile"
        figure = f"{seconds:.1f} s ({cpu:.1f} s of CPU, songs included), {health}"
        rows.append(Row(f"{total} tasks {name}", figure, f"{target:.0f} s", seconds <= target))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000)
    support.add_checkout(parser)
    arguments = parser.parse_args()
    with support.running("--max-queue", "100000", checkout=arguments.checkout) as server:
        print(support.table(asyncio.run(measure(server, arguments.tasks))))


if __name__ == "__main__":
    main()

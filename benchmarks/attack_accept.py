"""How fast tasks are accepted: `python benchmarks/attack_accept.py [--tasks N] [--checkout PATH]`.

Sends tasks in arrays, then one by one from many connections, while a first song keeps the worker busy; polls meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence

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


async def measure(server: Server, total: int) -> list[Row]:
    rows = []
    for name, send in (("in arrays", in_arrays), ("one by one", one_by_one)):
        start = time.perf_counter()
        seen = await support.watch(server, send(server, total))
        seconds = time.perf_counter() - start
        target = TARGET_SECONDS * total / 10_000
        figure = f"{seconds:.1f} s, /health {1000 * seen.percentile_95:.0f} ms at the 95th percentile"
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

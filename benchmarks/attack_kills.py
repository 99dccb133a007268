"""Kills at random times: `python benchmarks/attack_kills.py [--kills N] [--tasks N] [--checkout PATH]`.

Sends tasks with webhooks, kills the server with SIGKILL again and again while it works through them, and then lets it
finish. Nothing may be lost, come as two different results, or be blamed on a task.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import attack_support as support
from aiohttp import web
from attack_support import Row, Server

FINISH_SECONDS = 1200.0
LONGEST_LIFE = 4.0  # seconds between the server's answer and its end


class Record:
    """What arrived. versions: the bodies of webhook calls by audio UUID; failures: codes of failed results."""

    def __init__(self) -> None:
        self.versions: dict[str, set[bytes]] = defaultdict(set)
        self.failures: Counter[str] = Counter()

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        result = json.loads(body)
        if "audioUUID" in result:
            self.versions[result["audioUUID"]].add(body)
        else:
            self.failures[result.get("code", "unknown")] += 1
        return web.Response()


async def attack(folder: Path, checkout: Path, tasks: list[dict[str, Any]], kills: int) -> list[dict[str, Any]]:
    """Kill the server so often, then let it finish. Returns the final answers to getResponse."""
    rng, port = random.Random(1), support.free_port()
    for number in range(kills + 1):
        server = support.start(folder, "--allow-private", "--max-queue", "10000", checkout=checkout, port=port)
        await asyncio.to_thread(support.wait_until_ready, server)
        try:
            async with support.client() as session:
                if number == 0:
                    await support.send(session, server, *tasks)
                if number == kills:
                    return await finish(session, server, tasks)
            await asyncio.sleep(rng.uniform(0, LONGEST_LIFE))
        finally:
            server.process.kill()
            await asyncio.to_thread(server.process.wait)
    raise AssertionError("the last server finishes")


async def finish(session: support.aiohttp.ClientSession, server: Server, tasks: list[dict[str, Any]]) -> list[Any]:
    end = time.monotonic() + FINISH_SECONDS
    while time.monotonic() < end:
        answers = [await support.send(session, server, support.poll(task["taskUUID"])) for task in tasks]
        if all(entry.get("status") != "processing" for answer in answers for entry in answer.get("data", [])):
            await asyncio.sleep(12)  # for the last webhooks
            return answers
        await asyncio.sleep(1)
    raise SystemExit(f"not finished within {FINISH_SECONDS:g} seconds")


async def measure(checkout: Path, count: int, kills: int) -> list[Row]:
    record = Record()
    app = web.Application(client_max_size=2**28)
    app.router.add_post("/hook", record.receive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    tasks = [support.task(webhookURL=url, numberResults=1 + n % 2, seed=n) for n in range(count)]
    expected = sum(task["numberResults"] for task in tasks)
    with tempfile.TemporaryDirectory() as folder:
        answers = await attack(Path(folder), checkout, tasks, kills)
    await runner.cleanup()
    results = {entry["audioUUID"] for answer in answers for entry in answer.get("data", []) if "audioUUID" in entry}
    errors = Counter(error["code"] for answer in answers for error in answer.get("errors", []))
    twice = sum(len(versions) > 1 for versions in record.versions.values())
    name = f"{kills} SIGKILLs over {count} tasks"
    return [
        Row(f"{name}: results", f"{len(results)} of {expected}", f"{expected}", len(results) == expected),
        Row(f"{name}: failed", json.dumps(errors), "none", not errors),
        Row(f"{name}: announced", f"{len(record.versions)}", f"{expected}", set(record.versions) == results),
        Row(f"{name}: announced in two versions", f"{twice}", "0", twice == 0),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--tasks", type=int, default=60)
    support.add_checkout(parser)
    arguments = parser.parse_args()
    print(support.table(asyncio.run(measure(arguments.checkout, arguments.tasks, arguments.kills))))


if __name__ == "__main__":
    main()

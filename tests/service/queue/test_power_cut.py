"""Power cuts: the server's process is killed at random points; what was accepted is made once and told as one thing."""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from local_service import Command
from power_cut import Server
from service_tools import Receiver, body, in_loop, receiving, until

from acestep_xl.audio.files import encode, read
from acestep_xl.nodes.load_audio import example

TASKS, CUTS, SEEDS = 50, 10, 2**31
KINDS = ("URL", "base64Data", "dataURI")


class Log:
    """What the processes said, one after the other. results: by task UUID and audio UUID, each object that was told."""

    def __init__(self, folder: Path, queue: list[dict[str, Any]]) -> None:
        self.folder, self.queue = folder, queue
        self.accepted: set[str] = set()
        self.results: dict[tuple[str, str], list[Any]] = defaultdict(list)
        self.told: dict[str, Any] = {}
        self.finished = 0

    async def next(self, server: Server, kind: str) -> None:
        """Listen until something of this kind was said."""
        while True:
            entry = await asyncio.wait_for(asyncio.to_thread(server.pipe.recv), 20)
            self.take(entry)
            if entry[0] == kind:
                return

    def take(self, entry: tuple[Any, ...]) -> None:
        if entry[0] == "accepted":
            assert entry[2] in (None, "conflictTaskUUID"), entry
            self.accepted.add(entry[1])
        elif entry[0] == "finished":
            self.finished += 1
            self.note(entry[1], entry[2])
        elif entry[0] == "told":
            self.told = entry[1]

    def note(self, task_uuid: str, results: Any) -> None:
        for result in results:
            if result["status"] == "success":
                seen = [result, self.sound(result)]
                known = self.results[task_uuid, result["audioUUID"]]
                if seen not in known:
                    known.append(seen)

    def sound(self, result: dict[str, Any]) -> bytes:
        return (self.folder / "results" / f"{result['audioUUID']}.mp3").read_bytes()


def a_queue(chance: random.Random, url: str) -> list[dict[str, Any]]:
    return [
        body(
            seed=chance.randrange(SEEDS),
            numberResults=chance.randint(1, 3),
            outputType=chance.choice(KINDS),
            webhookURL=f"{url}/hook/{number}",
            **({"uploadEndpoint": f"{url}/up/{number}"} if number % 5 == 0 else {}),
        )
        for number in range(TASKS)
    ]


async def cut(server: Server, log: Log, chance: random.Random, early: bool) -> None:
    """Kill the process: early, at some point of its start; otherwise after it has finished something, so that no single
    result is blamed for cut after cut."""
    if not early:
        await log.next(server, "ready")
        server.pipe.send([task for task in log.queue if task["taskUUID"] not in log.accepted])
        await log.next(server, "finished")
    await asyncio.sleep(chance.uniform(0, 0.2))
    while server.pipe.poll():
        log.take(server.pipe.recv())
    server.kill()


async def live_on(server: Server, log: Log) -> None:
    """Let the last process finish everything."""
    await log.next(server, "ready")
    server.pipe.send(log.queue)
    for _ in range(2000):
        server.pipe.send("tell")
        await log.next(server, "told")
        told = log.told.values()
        if len(told) == TASKS and all(one and one[0] != "processing" and "waiting" not in one[3] for one in told):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(log.told)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
@in_loop
async def test_ten_power_cuts(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    async with receiving() as there:
        queue = a_queue(chance, there.url)
        for number in range(0, TASKS, 3):
            there.answers[f"/hook/{number}"] = lambda count: 500 if count % 3 == 1 else 200
        log = Log(tmp_path, queue)
        for number in range(CUTS):
            await cut(Server(tmp_path), log, chance, early=number % 4 == 3)
        server = Server(tmp_path)
        await live_on(server, log)
        server.kill()
        check_results(log)
        check_deliveries(log, there)


def check_results(log: Log) -> None:
    """Every task has its results, each the same whenever it was told, and nothing else lies in the folder."""
    assert log.accepted == {task["taskUUID"] for task in log.queue}
    files = set()
    for task in log.queue:
        status, results, _, _ = log.told[task["taskUUID"]]
        assert (status, [result["status"] for result in results]) == ("success", ["success"] * task["numberResults"])
        assert [r["seed"] for r in results] == [(task["seed"] + place) % SEEDS for place in range(len(results))]
        log.note(task["taskUUID"], results)
        own = {uuid: seen for (task_uuid, uuid), seen in log.results.items() if task_uuid == task["taskUUID"]}
        assert own.keys() == {result["audioUUID"] for result in results}
        assert all(len(seen) == 1 for seen in own.values()), "one result, one object, one sound"
        assert all(log.sound(r).startswith(f"seed {r['seed']} ".encode()) for r in results)
        files |= {f"{uuid}.mp3" for uuid in own}
    assert {path.name for path in (log.folder / "results").iterdir()} == files
    attempts = [attempt for one in log.told.values() for attempt in one[2]]
    assert max(attempts) > 1, "no cut has met a result in the making: the test shows nothing"


def check_deliveries(log: Log, there: Receiver) -> None:
    """Every result was told to its webhook at least once, always in the same bytes, and uploaded before."""
    again = 0
    for number, task in enumerate(log.queue):
        _, results, _, states = log.told[task["taskUUID"]]
        assert set(states) == {"done"}
        calls = [call[2] for call in there.calls if call[1] == f"/hook/{number}"]
        assert len(set(calls)) == len(results), "as many different calls as results"
        told = {entry["audioUUID"]: entry for entry in there.bodies(f"/hook/{number}")}
        assert list(results) == [told[result["audioUUID"]] for result in results]
        again += len(calls) - len(results)
        uploads = {call[2] for call in there.calls if call[1] == f"/up/{number}"}
        assert uploads == ({log.sound(result) for result in results} if "uploadEndpoint" in task else set())
    assert again > 0


@pytest.mark.slow
@in_loop
async def test_a_power_cut_of_the_real_command(tmp_path: Path) -> None:
    """`acestep-xl serve` with the demo network, over HTTP: real songs, of which each is told once and for all."""
    async with receiving() as there:
        there.files["/song.flac"] = encode(example()[0], 48000, format="flac", bit_depth=24)
        cover = {"inputs": {"audio": f"{there.url}/song.flac"}, "steps": 1, "deliveryMethod": "async"}
        kinds = [{"numberResults": 2, "outputFormat": "WAV"}, {"outputType": "base64Data"}, {"outputFormat": "OGG"}]
        queue = [body(seed=n, webhookURL=f"{there.url}/hook/{n}", **cover, **kind) for n, kind in enumerate(kinds)]
        told: list[list[Any]] = []
        with Command(tmp_path, ["--allow-private"]) as server:
            answer = await ask(server, queue)
            assert "errors" not in answer, answer
            await until(lambda: hooks(there), 100)
            server.process.kill()
            server.process.wait()
        with Command(tmp_path, ["--allow-private"]) as server:
            await until(lambda: len({call[2] for call in hooks(there)}) == 4, 100)
            for task in queue:
                polled = await ask(server, [{"taskType": "getResponse", "taskUUID": task["taskUUID"]}])
                assert "errors" not in polled, polled
                told.append(polled["data"])
        seeds = [[result["seed"] for result in results] for results in told]
        assert seeds == [[0, 1], [1], [2]]
        for number, results in enumerate(told):
            calls = {call[2] for call in hooks(there) if call[1] == f"/hook/{number}"}
            assert len(calls) == len(results)
            assert [r["audioUUID"] for r in results] == [
                json.loads(c)["audioUUID"] for c in sorted(calls, key=seed_told)
            ]
        for result in (*told[0], *told[1], *told[2]):
            sound, rate = read(next((tmp_path / "data" / "results").glob(f"{result['audioUUID']}.*")))
            assert rate == 48000 and sound.shape[-1] / rate == pytest.approx(8, abs=0.1)


def hooks(there: Receiver) -> list[Any]:
    return [call for call in there.calls if call[0] == "POST"]


def seed_told(call: bytes) -> int:
    return json.loads(call)["seed"]


async def ask(server: Command, request: list[dict[str, Any]]) -> dict[str, Any]:
    async with aiohttp.ClientSession() as client, client.post(f"{server.url}/v1", json=request) as answer:
        return await answer.json()

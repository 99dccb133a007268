"""Power cuts: the server is killed at random points; each accepted task still gives one result, never two different."""

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

from acestep_xl.audio.decoding import read
from acestep_xl.audio.encoding import encode
from acestep_xl.nodes.load_audio import example

TASKS, CUTS, SEEDS = 50, 10, 2**31
KINDS = ("URL", "base64Data", "dataURI")


class Log:
    """The messages of all processes. results: every version of a result and its audio, by task UUID and audio UUID."""

    def __init__(self, folder: Path, queue: list[dict[str, Any]]) -> None:
        self.folder, self.queue = folder, queue
        self.accepted: set[str] = set()
        self.results: dict[tuple[str, str], list[Any]] = defaultdict(list)
        self.report: dict[str, Any] = {}
        self.finished = 0

    async def next(self, server: Server, kind: str) -> None:
        """Read messages until one of this kind."""
        while True:
            entry = await asyncio.wait_for(asyncio.to_thread(server.pipe.recv), 60)
            self.add(entry)
            if entry[0] == kind:
                return

    def add(self, entry: tuple[Any, ...]) -> None:
        if entry[0] == "accepted":
            assert entry[2] in (None, "conflictTaskUUID"), entry
            self.accepted.add(entry[1])
        elif entry[0] == "finished":
            self.finished += 1
            self.add_results(entry[1], entry[2])
        elif entry[0] == "report":
            self.report = entry[1]

    def add_results(self, task_uuid: str, results: Any) -> None:
        for result in results:
            if result["status"] == "success":
                version = [result, self.audio(result)]
                versions = self.results[task_uuid, result["audioUUID"]]
                if version not in versions:
                    versions.append(version)

    def audio(self, result: dict[str, Any]) -> bytes:
        return (self.folder / "results" / f"{result['audioUUID']}.mp3").read_bytes()


def random_tasks(rng: random.Random, url: str) -> list[dict[str, Any]]:
    return [
        body(
            seed=rng.randrange(SEEDS),
            numberResults=rng.randint(1, 3),
            outputType=rng.choice(KINDS),
            webhookURL=f"{url}/hook/{number}",
            **({"uploadEndpoint": f"{url}/up/{number}"} if number % 5 == 0 else {}),
        )
        for number in range(TASKS)
    ]


async def cut(server: Server, log: Log, rng: random.Random, early: bool) -> None:
    """Kill the process: early, while it starts; otherwise after it has finished a result, so that no single job uses up
    its attempts."""
    if not early:
        await log.next(server, "ready")
        server.pipe.send([task for task in log.queue if task["taskUUID"] not in log.accepted])
        await log.next(server, "finished")
    await asyncio.sleep(rng.uniform(0, 0.2))
    while server.pipe.poll():
        log.add(server.pipe.recv())
    server.kill()


async def finish_all(server: Server, log: Log) -> None:
    """Let the last process finish all tasks and deliveries."""
    await log.next(server, "ready")
    server.pipe.send(log.queue)
    for _ in range(2000):
        server.pipe.send("report")
        await log.next(server, "report")
        report = log.report.values()
        if len(report) == TASKS and all(one and one[0] != "processing" and "waiting" not in one[3] for one in report):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(log.report)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
@in_loop
async def test_ten_power_cuts(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    async with receiving() as receiver:
        queue = random_tasks(rng, receiver.url)
        for number in range(0, TASKS, 3):
            receiver.answers[f"/hook/{number}"] = lambda count: 500 if count % 3 == 1 else 200
        log = Log(tmp_path, queue)
        for number in range(CUTS):
            await cut(Server(tmp_path), log, rng, early=number % 4 == 3)
        server = Server(tmp_path)
        await finish_all(server, log)
        server.kill()
        check_results(log)
        check_deliveries(log, receiver)


def check_results(log: Log) -> None:
    """Every task has its results, each always the same, and the folder holds nothing else."""
    assert log.accepted == {task["taskUUID"] for task in log.queue}
    files = set()
    for task in log.queue:
        status, results, _, _ = log.report[task["taskUUID"]]
        assert (status, [result["status"] for result in results]) == ("success", ["success"] * task["numberResults"])
        assert [r["seed"] for r in results] == [(task["seed"] + index) % SEEDS for index in range(len(results))]
        log.add_results(task["taskUUID"], results)
        versions = {
            uuid: entries for (task_uuid, uuid), entries in log.results.items() if task_uuid == task["taskUUID"]
        }
        assert versions.keys() == {result["audioUUID"] for result in results}
        assert all(len(seen) == 1 for seen in versions.values()), "one result, one object, one file"
        assert all(log.audio(r).startswith(f"seed {r['seed']} ".encode()) for r in results)
        files |= {f"{uuid}.mp3" for uuid in versions}
    assert {path.name for path in (log.folder / "results").iterdir()} == files
    attempts = [attempt for one in log.report.values() for attempt in one[2]]
    assert max(attempts) > 1, "no cut interrupted a job, so the test shows nothing"


def check_deliveries(log: Log, receiver: Receiver) -> None:
    """Every result reached its webhook at least once, always with the same body, and was uploaded."""
    repeated = 0
    for number, task in enumerate(log.queue):
        _, results, _, states = log.report[task["taskUUID"]]
        assert set(states) == {"done"}
        calls = [call[2] for call in receiver.calls if call[1] == f"/hook/{number}"]
        assert len(set(calls)) == len(results), "one body per result"
        bodies = {entry["audioUUID"]: entry for entry in receiver.bodies(f"/hook/{number}")}
        assert list(results) == [bodies[result["audioUUID"]] for result in results]
        repeated += len(calls) - len(results)
        uploads = {call[2] for call in receiver.calls if call[1] == f"/up/{number}"}
        assert uploads == ({log.audio(result) for result in results} if "uploadEndpoint" in task else set())
    assert repeated > 0


@pytest.mark.slow
@in_loop
async def test_a_power_cut_of_the_real_command(tmp_path: Path) -> None:
    """`acestep-xl serve` with the demo network, over HTTP: each song stays the same."""
    async with receiving() as receiver:
        receiver.files["/song.flac"] = encode(example()[0], 48000, format="flac", bit_depth=24).data
        cover = {"inputs": {"audio": f"{receiver.url}/song.flac"}, "steps": 1, "deliveryMethod": "async"}
        kinds = [{"numberResults": 2, "outputFormat": "WAV"}, {"outputType": "base64Data"}, {"outputFormat": "OGG"}]
        queue = [body(seed=n, webhookURL=f"{receiver.url}/hook/{n}", **cover, **kind) for n, kind in enumerate(kinds)]
        polled: list[list[Any]] = []
        with Command(tmp_path, ["--allow-private"]) as server:
            answer = await post(server, queue)
            assert "errors" not in answer, answer
            await until(lambda: hooks(receiver), 100)
            server.process.kill()
            server.process.wait()
        with Command(tmp_path, ["--allow-private"]) as server:
            await until(lambda: len({call[2] for call in hooks(receiver)}) == 4, 100)
            for task in queue:
                answer = await post(server, [{"taskType": "getResponse", "taskUUID": task["taskUUID"]}])
                assert "errors" not in answer, answer
                polled.append(answer["data"])
        seeds = [[result["seed"] for result in results] for results in polled]
        assert seeds == [[0, 1], [1], [2]]
        for number, results in enumerate(polled):
            calls = {call[2] for call in hooks(receiver) if call[1] == f"/hook/{number}"}
            assert len(calls) == len(results)
            assert [r["audioUUID"] for r in results] == [
                json.loads(c)["audioUUID"] for c in sorted(calls, key=seed_of_call)
            ]
        for result in (*polled[0], *polled[1], *polled[2]):
            samples, rate = read(next((tmp_path / "data" / "results").glob(f"{result['audioUUID']}.*")))
            assert rate == 48000 and samples.shape[-1] / rate == pytest.approx(8, abs=0.1)


def hooks(receiver: Receiver) -> list[Any]:
    return [call for call in receiver.calls if call[0] == "POST"]


def seed_of_call(call: bytes) -> int:
    return json.loads(call)["seed"]


async def post(server: Command, request: list[dict[str, Any]]) -> dict[str, Any]:
    async with aiohttp.ClientSession() as client, client.post(f"{server.url}/v1", json=request) as answer:
        return await answer.json()

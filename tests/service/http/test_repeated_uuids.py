"""A taskUUID that is sent more than once, one after the other or at the same time, over any connection."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from local_service import Gate, Local, serving
from service_socket import poll, socket
from service_tools import TinyEngine, body, in_loop, until

CONFLICT = ["conflictTaskUUID"]


def codes(answer: dict[str, Any]) -> list[str]:
    return [error["code"] for error in answer.get("errors", [])]


@in_loop
async def test_of_many_requests_at_the_same_time_one_is_accepted(tmp_path: Path) -> None:
    gate = Gate()
    engine = TinyEngine(tmp_path / "work", act=gate)
    async with serving(tmp_path, engine) as local, socket(local) as client, socket(local) as other:
        task = body(deliveryMethod="async", numberResults=2)
        spellings = [task, task | {"taskUUID": task["taskUUID"].upper()}, task | {"steps": 7}] * 4
        posts = [local.send(spelling) for spelling in spellings]
        answers = await asyncio.gather(*posts, client.ask(task), other.ask(task))
        bodies = [answer[1] if isinstance(answer, tuple) else answer for answer in answers]
        accepted = [answer for answer in bodies if "data" in answer]
        refused = [answer for answer in bodies if "errors" in answer]
        assert len(accepted) == 1 and [codes(answer) for answer in refused] == [CONFLICT] * (len(bodies) - 1)
        assert {answer[0] for answer in answers if isinstance(answer, tuple)} <= {200, 400}
        gate.release(2)
        await until(lambda: len(engine.graphs) == 2)
        results = await finished(local, task)
        assert len({result["audioUUID"] for result in results}) == len(results) == len(engine.graphs) == 2


@in_loop
async def test_a_refused_repetition_changes_nothing_of_the_first(tmp_path: Path) -> None:
    gate = Gate()
    engine = TinyEngine(tmp_path / "work", act=gate)
    async with serving(tmp_path, engine) as local, socket(local) as client:
        task = body(seed=5)
        await client.send(task)
        await until(lambda: bool(engine.graphs))
        assert codes((await local.send(task | {"seed": 6, "numberResults": 3}))[1]) == CONFLICT
        assert codes(await client.ask(task | {"seed": 7})) == CONFLICT
        gate.release(5)
        (result,) = (await client.receive(60))["data"]
        assert result["seed"] == 5 and len(engine.graphs) == 1
        assert codes((await local.send(task))[1]) == CONFLICT, "a finished task keeps its UUID"


@in_loop
async def test_a_cancelled_task_keeps_its_uuid(tmp_path: Path) -> None:
    gate = Gate()
    async with serving(tmp_path, TinyEngine(tmp_path / "work", act=gate)) as local:
        running, waiting = body(deliveryMethod="async"), body(deliveryMethod="async")
        await local.send(running, waiting)
        await local.send({"taskType": "cancelTask", "taskUUID": waiting["taskUUID"]})
        assert codes((await local.send(waiting))[1]) == CONFLICT
        assert codes((await local.send(poll(waiting)))[1]) == ["taskCancelled"]
        gate.release()


async def finished(local: Local, task: dict[str, Any]) -> list[dict[str, Any]]:
    """The results of a task, once none is to come."""
    entries: list[dict[str, Any]] = []
    while not entries or any(entry["status"] != "success" for entry in entries):
        await asyncio.sleep(0.02)
        entries = (await local.send(poll(task)))[1]["data"]
    return entries

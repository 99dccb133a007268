"""Tasks over HTTP: the answer and the status of each request."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from local_service import Gate, new_uuid, serving
from service_tools import TinyEngine, audio_bytes, body, in_loop, until

from acestep_xl.service.http.context import CONTEXT


def poll(task: dict[str, Any]) -> dict[str, Any]:
    return {"taskType": "getResponse", "taskUUID": task["taskUUID"]}


@in_loop
async def test_a_sync_task_is_answered_with_its_results(tmp_path: Path) -> None:
    async with serving(tmp_path) as local:
        task = body(seed=41, numberResults=3)
        status, answer = await local.send(task)
        assert status == 200 and set(answer) == {"data"}
        assert [entry["seed"] for entry in answer["data"]] == [41, 42, 43]
        assert len({entry["audioUUID"] for entry in answer["data"]}) == 3
        for entry in answer["data"]:
            assert set(entry) == {"taskType", "taskUUID", "audioUUID", "audioURL", "seed"}, "no status"
            assert (entry["taskType"], entry["taskUUID"]) == ("audioInference", task["taskUUID"])
            assert entry["audioURL"] == f"{local.url}/audio/{entry['audioUUID']}.mp3"
            assert (await local.get(f"/audio/{entry['audioUUID']}.mp3"))[2] == audio_bytes(entry["seed"])


@pytest.mark.parametrize("path", ["/", "/v1"])
def test_both_paths_accept_tasks(tmp_path: Path, path: str) -> None:
    @in_loop
    async def run() -> None:
        async with serving(tmp_path) as local:
            status, answer = await local.send({"taskType": "ping", "ping": True}, path=path)
            assert (status, answer) == (200, {"data": [{"taskType": "ping", "pong": True}]})

    run()


@in_loop
async def test_an_async_task_is_acknowledged_and_polled(tmp_path: Path) -> None:
    gate = Gate()
    async with serving(tmp_path, TinyEngine(tmp_path / "work", act=gate)) as local:
        task = body(deliveryMethod="async", numberResults=2, seed=5)
        status, answer = await local.send(task)
        acknowledgement = {"taskType": "audioInference", "taskUUID": task["taskUUID"]}
        assert (status, answer) == (200, {"data": [acknowledgement]})
        status, answer = await local.send(poll(task))
        assert [entry["status"] for entry in answer["data"]] == ["processing", "processing"] and status == 200
        gate.release()

        async def first_done() -> list[dict[str, Any]]:
            while True:
                data = (await local.send(poll(task)))[1]["data"]
                if data[0]["status"] == "success":
                    return data
                await asyncio.sleep(0.01)

        data = await asyncio.wait_for(first_done(), 60)
        assert [entry["status"] for entry in data] == ["success", "processing"] and data[0]["seed"] == 5
        gate.release()
        await local.runner.app[CONTEXT]._tasks.wait(task["taskUUID"], 60)  # type: ignore[union-attr]  # open by now
        data = (await local.send(poll(task)))[1]["data"]
        assert [entry["seed"] for entry in data] == [5, 6] and {entry["status"] for entry in data} == {"success"}


@in_loop
async def test_an_invalid_task_does_not_affect_the_others(tmp_path: Path) -> None:
    async with serving(tmp_path) as local:
        first, invalid, last = body(seed=1), body(steps=0, settings={"bpm": 1}), body(seed=3)
        status, answer = await local.send(first, invalid, last)
        assert status == 200
        assert [entry["taskUUID"] for entry in answer["data"]] == [first["taskUUID"], last["taskUUID"]]
        assert [entry["parameter"] for entry in answer["errors"]] == ["steps", "settings.bpm"]
        assert {entry["taskUUID"] for entry in answer["errors"]} == {invalid["taskUUID"]}


@in_loop
async def test_statuses_of_answers_without_data(tmp_path: Path) -> None:
    async with serving(tmp_path) as local:
        assert (await local.send(body(steps=0)))[0] == 400
        assert (await local.send())[0] == 400
        unknown = [
            {"taskType": kind, "taskUUID": new_uuid()} for kind in ("getResponse", "cancelTask", "getTaskDetails")
        ]
        for task in unknown:
            status, answer = await local.send(task)
            assert status == 404 and answer["errors"][0]["code"] == "taskNotFound"
            assert answer["errors"][0]["taskUUID"] == task["taskUUID"]
        assert (await local.send(body(steps=0), unknown[0]))[0] == 400, "400 if the statuses of the errors differ"


@in_loop
async def test_a_full_queue_is_429(tmp_path: Path) -> None:
    gate = Gate()
    async with serving(tmp_path, TinyEngine(tmp_path / "work", act=gate), max_queue=1) as local:
        await local.send(body(deliveryMethod="async"))
        status, answer = await local.send(body(deliveryMethod="async"))
        assert status == 429 and answer["errors"][0]["code"] == "queueFull"
        gate.release()


@in_loop
async def test_a_task_uuid_can_be_used_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as local:
        task = body()
        assert (await local.send(task))[0] == 200
        status, answer = await local.send(task)
        assert status == 400 and answer["errors"][0]["code"] == "conflictTaskUUID"
        assert answer["errors"][0]["taskUUID"] == task["taskUUID"]


@in_loop
async def test_results_after_the_sync_timeout_can_be_polled(tmp_path: Path) -> None:
    gate = Gate()
    async with serving(tmp_path, TinyEngine(tmp_path / "work", act=gate), sync_timeout=1.0) as local:
        gate.release()
        task = body(numberResults=2)
        status, answer = await local.send(task)
        assert status == 200 and len(answer["data"]) == 1, "finished results are in the answer"
        (error,) = answer["errors"]
        assert error["code"] == "timeoutSync" and "getResponse" in error["message"]
        late = body()
        status, answer = await local.send(late)
        assert status == 200 and [error["code"] for error in answer["errors"]] == ["timeoutSync"]
        gate.release(2)
        await local.runner.app[CONTEXT]._tasks.wait(late["taskUUID"], 60)  # type: ignore[union-attr]  # open by now
        for each in (task, late):
            data = (await local.send(poll(each)))[1]["data"]
            assert {entry["status"] for entry in data} == {"success"}


@in_loop
async def test_a_task_with_a_webhook_is_only_acknowledged(tmp_path: Path) -> None:
    gate = Gate()
    async with serving(tmp_path, TinyEngine(tmp_path / "work", act=gate)) as local:
        task = body(webhookURL="https://hooks.example/x?token=1")
        _, answer = await asyncio.wait_for(local.send(task), 60)
        assert answer == {"data": [{"taskType": "audioInference", "taskUUID": task["taskUUID"]}]}
        gate.release()


@in_loop
async def test_addresses_that_the_settings_forbid_are_refused(tmp_path: Path) -> None:
    async with serving(tmp_path) as local:
        status, answer = await local.send(body(webhookURL="http://127.0.0.1/hook?token=s3cr3t"))
        assert status == 400 and answer["errors"][0]["parameter"] == "webhookURL"
        assert "s3cr3t" not in json.dumps(answer)
    async with serving(tmp_path / "open", allow_private=True) as local:
        assert (await local.send(body(webhookURL="http://127.0.0.1:9999/hook")))[0] == 200


@in_loop
async def test_cancel_and_details(tmp_path: Path) -> None:
    gate = Gate()
    async with serving(tmp_path, TinyEngine(tmp_path / "work", seconds=20)) as local:
        running, waiting = body(deliveryMethod="async"), body(deliveryMethod="async")
        await local.send(running, waiting)
        status, answer = await local.send({"taskType": "cancelTask", "taskUUID": waiting["taskUUID"]})
        assert (status, answer) == (200, {"data": [{"taskType": "cancelTask", "taskUUID": waiting["taskUUID"]}]})
        _, answer = await local.send(poll(waiting))
        assert [error["code"] for error in answer["errors"]] == ["taskCancelled"]
        _, answer = await local.send({"taskType": "getTaskDetails", "taskUUID": waiting["taskUUID"]})
        (details,) = answer["data"]
        assert details["request"] == [waiting] and details["response"]["errors"][0]["code"] == "taskCancelled"
        _, _, queue = await local.get("/queue")
        assert [entry["taskUUID"] for entry in json.loads(queue)["data"]] == [running["taskUUID"]]
        await local.send({"taskType": "cancelTask", "taskUUID": running["taskUUID"]})
        gate.release()


@in_loop
async def test_a_stopping_server_answers_its_clients_and_keeps_their_tasks(tmp_path: Path) -> None:
    engine = TinyEngine(tmp_path / "work", seconds=600)
    async with serving(tmp_path, engine) as local:
        task = body()
        request = asyncio.create_task(local.send(task))
        await until(lambda: engine.graphs)
        await local.runner.app.shutdown()
        status, answer = await asyncio.wait_for(request, 60)
        assert status == 503 and answer["errors"][0]["code"] == "serverStopping"
    async with serving(tmp_path) as local:
        await local.runner.app[CONTEXT]._tasks.wait(task["taskUUID"], 60)  # type: ignore[union-attr]  # open by now
        assert (await local.send(poll(task)))[1]["data"][0]["status"] == "success"


@in_loop
async def test_an_internal_error_reveals_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path) as local:

        def broken(*_: object) -> None:
            raise RuntimeError("the internals")

        monkeypatch.setattr(local.runner.app[CONTEXT]._tasks, "state", broken)
        status, answer = await local.send(poll(body()))
        assert status == 500 and answer["errors"][0]["code"] == "internalError"
        assert "internals" not in json.dumps(answer) and "the internals" in caplog.text


@in_loop
async def test_requests_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    gate = Gate()
    async with serving(tmp_path, TinyEngine(tmp_path / "work", act=gate), max_connections=2) as local:
        requests = [asyncio.create_task(local.send(body())) for _ in range(2)]
        await until(lambda: local.runner.app[CONTEXT].active_requests == 2)
        async with local.client.get(f"{local.url}/health") as answer:
            assert answer.status == 429 and answer.headers["Retry-After"] == "1"
        gate.release(2)
        assert [status for status, _ in await asyncio.gather(*requests)] == [200, 200]
        assert (await local.get("/health"))[0] == 200


@in_loop
async def test_result_urls_use_the_host_of_the_request(tmp_path: Path) -> None:
    async with serving(tmp_path) as local:
        port = local.url.rpartition(":")[2]
        async with local.client.post(f"http://localhost:{port}/v1", json=[body()]) as answer:
            assert (await answer.json())["data"][0]["audioURL"].startswith(f"http://localhost:{port}/audio/")
    async with serving(tmp_path / "behind", public_url="https://music.example/api") as local:
        _, answer = await local.send(body())
        assert answer["data"][0]["audioURL"].startswith("https://music.example/api/audio/")


@in_loop
async def test_many_concurrent_clients(tmp_path: Path) -> None:
    async with serving(tmp_path) as local:
        tasks = [body(seed=seed) for seed in range(60)]
        answers = await asyncio.gather(*(local.send(task) for task in tasks))
        received = [
            (status, [(entry["taskUUID"], entry["seed"]) for entry in answer["data"]]) for status, answer in answers
        ]
        assert received == [(200, [(task["taskUUID"], task["seed"])]) for task in tasks]

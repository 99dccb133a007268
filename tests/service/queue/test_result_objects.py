"""The result objects of finished tasks: URLs, audio in the response, cost."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from service_tools import TinyEngine, audio_bytes, in_loop, inference
from task_queue import finished, open_tasks, run_task


@in_loop
async def test_a_result_is_the_documented_object(tmp_path: Path) -> None:
    async with open_tasks(tmp_path, public_url="https://music.example/v1/") as tasks:
        task = inference(seed=41)
        state = await run_task(tasks, task)
        (result,) = state.results
        uuid = result["audioUUID"]
        assert result == {
            "taskType": "audioInference",
            "taskUUID": task.task_uuid,
            "status": "success",
            "audioUUID": uuid,
            "audioURL": f"https://music.example/v1/audio/{uuid}.mp3",
            "seed": 41,
        }
        assert (state.status, state.progress, state.errors) == ("success", 100, ())
        file = await tasks.file(uuid)
        assert file is not None and file[0].read_bytes() == audio_bytes(41) and file[1] == "audio/mpeg"
        assert await tasks.file(task.task_uuid) is None


@in_loop
async def test_result_urls_use_the_host_of_the_request(tmp_path: Path) -> None:
    async with open_tasks(tmp_path) as tasks:
        task = inference()
        await tasks.submit([task], base_url="http://studio.local:1234/")
        state = await finished(tasks, task)
        assert state.results[0]["audioURL"].startswith("http://studio.local:1234/audio/")
    async with open_tasks(tmp_path, public_url="https://music.example") as tasks:
        task = inference()
        await tasks.submit([task], base_url="http://studio.local:1234/")
        state = await finished(tasks, task)
        assert state.results[0]["audioURL"].startswith("https://music.example/audio/")


@pytest.mark.parametrize("kind", ["base64Data", "dataURI"])
@in_loop
async def test_audio_in_the_response(kind: str, tmp_path: Path) -> None:
    task = inference(outputType=kind, seed=3, outputFormat="MP3")
    async with open_tasks(tmp_path) as tasks:
        (result,) = (await run_task(tasks, task)).results
    async with open_tasks(tmp_path) as tasks:
        state = await tasks.state(task.task_uuid)
        assert state is not None and state.results == (result,), "unchanged by a restart"
    assert "audioURL" not in result
    audio = result["audioBase64Data" if kind == "base64Data" else "audioDataURI"]
    text = audio.read().removeprefix("data:audio/mpeg;base64,")
    assert (text != audio.read()) == (kind == "dataURI")
    assert base64.b64decode(text, validate=True) == audio_bytes(3)


@in_loop
async def test_the_cost_is_included_on_request(tmp_path: Path) -> None:
    async with open_tasks(tmp_path, TinyEngine(tmp_path / "work", seconds=0.05), price_per_hour=3600) as tasks:
        (plain,) = (await run_task(tasks, inference())).results
        assert not {"cost", "costDetails"} & plain.keys()
        (result,) = (await run_task(tasks, inference(includeCost=True))).results
        details = result["costDetails"]
        assert result["cost"] == pytest.approx(details["seconds"], abs=1e-3) and details["seconds"] >= 0.05
        assert (details["device"], details["pricePerHour"]) == ("cpu", 3600)
    async with open_tasks(tmp_path) as tasks:
        (free,) = (await run_task(tasks, inference(includeCost=True))).results
        assert free["cost"] == 0.0

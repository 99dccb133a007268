"""The task API inside a real ComfyUI: the same protocol below /acestep-xl, with songs in ComfyUI's own queue."""

from __future__ import annotations

import asyncio
import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
from audio_files import write
from comfy_server import ComfyServer, messages, needs_comfyui
from service_tools import body

from acestep_xl.audio.decoding import read
from acestep_xl.nodes.load_audio import example
from acestep_xl.service.http.access import KEY_VARIABLE
from acestep_xl.service.http.comfy_routes import PREFIX

pytestmark = [needs_comfyui, pytest.mark.slow]
MODEL = "acestep_v1.5_xl_sft_bf16.safetensors"  # the workflows' own
SECONDS = 8.0


def write_models(folder: Path) -> None:
    """Tiny checkpoints under the names that the shipped workflows use."""
    name = tiny.write_split(folder / "models")
    (folder / "models" / "diffusion_models" / name).rename(folder / "models" / "diffusion_models" / MODEL)


@pytest.fixture(scope="module")
def comfy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    folder = tmp_path_factory.mktemp("comfyui")
    write_models(folder)
    with ComfyServer(folder) as server:
        yield server


def send(server: ComfyServer, *tasks: dict[str, Any]) -> dict[str, Any]:
    return server.post(f"{PREFIX}/v1", list(tasks))


def download(url: str, folder: Path) -> Any:
    path = folder / url.rpartition("/")[2]
    with urllib.request.urlopen(url, timeout=30) as response:
        path.write_bytes(response.read())
    return read(path)[0]


def test_songs_run_in_comfyuis_queue(comfy: ComfyServer, tmp_path: Path) -> None:
    earlier = set(comfy.get("/history"))
    entries = send(comfy, body(duration=30, steps=2, seed=4, numberResults=2, outputFormat="WAV"))["data"]
    assert [entry["seed"] for entry in entries] == [4, 5]
    for entry in entries:
        assert entry["audioURL"].startswith(f"{comfy.url}{PREFIX}/audio/")
        waveform = download(entry["audioURL"], tmp_path)
        assert waveform.shape[-1] == 30 * 48000 and waveform.abs().max() > 0.05
    runs = {key: run for key, run in comfy.get("/history").items() if key not in earlier}
    assert len(runs) == 2
    second = list(runs.values())[1]
    (cached,) = messages(second, "execution_cached")
    assert cached["nodes"], "the second result reuses what the first loaded"


def test_a_cover_of_an_upload(comfy: ComfyServer, tmp_path: Path) -> None:
    path = write(tmp_path / "tune.wav", example()[0], 48000, format="wav", bit_depth=16)
    media = base64.b64encode(path.read_bytes()).decode()
    upload = {"taskType": "mediaStorage", "taskUUID": body()["taskUUID"], "operation": "upload", "media": media}
    (stored,) = send(comfy, upload)["data"]
    task = body(steps=2, inputs={"audio": stored["mediaUUID"]}, outputFormat="FLAC")
    (entry,) = send(comfy, task)["data"]
    assert download(entry["audioURL"], tmp_path).shape[-1] == example()[0].shape[-1]


def test_a_cancelled_task_stops_in_comfyui(comfy: ComfyServer) -> None:
    task = body(duration=60, steps=300, deliveryMethod="async")
    send(comfy, task)
    poll = {"taskType": "getResponse", "taskUUID": task["taskUUID"]}
    deadline = time.monotonic() + 60
    while not send(comfy, poll)["data"][0]["progress"] > 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    (queued,) = comfy.get(f"{PREFIX}/queue")["data"]
    assert queued["taskUUID"] == task["taskUUID"] and queued["progress"] > 0
    assert send(comfy, {"taskType": "cancelTask", "taskUUID": task["taskUUID"]})["data"]
    while not (response := send(comfy, poll)).get("errors"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert response["errors"][0]["code"] == "taskCancelled"
    assert comfy.get("/queue") == {"queue_running": [], "queue_pending": []}


def test_an_interrupt_in_comfyui_ends_the_task_with_an_error(comfy: ComfyServer) -> None:
    task = body(duration=60, steps=300, deliveryMethod="async")
    send(comfy, task)
    while not comfy.get("/queue")["queue_running"]:
        time.sleep(0.1)
    time.sleep(1)
    comfy.post("/interrupt", {})
    poll = {"taskType": "getResponse", "taskUUID": task["taskUUID"]}
    deadline = time.monotonic() + 60
    while not (response := send(comfy, poll)).get("errors"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert response["errors"][0]["code"] == "inferenceFailed" and "interrupted" in response["errors"][0]["message"]


def test_the_hosted_services_client(comfy: ComfyServer) -> None:
    runware = pytest.importorskip("runware", reason="the client `runware` is not installed")

    async def run() -> None:
        client = runware.Runware(api_key="any", url=f"{comfy.url.replace('http', 'ws')}{PREFIX}/v1")
        await client.connect()
        request = runware.IAudioInference(
            model=body()["model"], positivePrompt="slow waltz", duration=30, steps=2, seed=1
        )
        (song,) = await client.audioInference(request)
        assert song.seed == 1 and PREFIX in song.audioURL
        await client.disconnect()

    asyncio.run(asyncio.wait_for(run(), 120))


def test_the_page_and_its_parts_are_served_below_the_path(comfy: ComfyServer) -> None:
    with urllib.request.urlopen(f"{comfy.url}{PREFIX}") as response:
        assert response.url == f"{comfy.url}{PREFIX}/" and b"<title>ACE-Step 1.5 XL" in response.read()
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    with urllib.request.urlopen(f"{comfy.url}{PREFIX}/page/page.js") as response:
        assert response.headers["Content-Type"].startswith("text/javascript")
    assert comfy.get(f"{PREFIX}/openapi.json")["openapi"].startswith("3.1")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(f"{comfy.url}{PREFIX}/queue", headers={"Host": "evil.example"}))
    assert refused.value.code == 403


def test_a_restart_resumes_accepted_tasks(tmp_path: Path) -> None:
    write_models(tmp_path)
    long, task = (body(duration=30, steps=n, seed=9, deliveryMethod="async") for n in (300, 2))
    with ComfyServer(tmp_path) as server:
        assert not (tmp_path / "user" / "acestep-xl").exists(), "nothing is created before it is used"
        send(server, long, task)
    with ComfyServer(tmp_path) as server:
        send(server, {"taskType": "cancelTask", "taskUUID": long["taskUUID"]})
        poll = {"taskType": "getResponse", "taskUUID": task["taskUUID"]}
        deadline = time.monotonic() + 90
        while (entry := send(server, poll)["data"][0])["status"] != "success":
            assert time.monotonic() < deadline, server.log()[-2000:]
            time.sleep(0.2)
        assert entry["seed"] == 9


def test_a_comfyui_that_others_can_reach_needs_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with ComfyServer(tmp_path, ("--listen", "0.0.0.0")) as server:
        with pytest.raises(urllib.error.HTTPError) as absent:
            server.get(f"{PREFIX}/health")
        assert absent.value.code == 404 and KEY_VARIABLE in server.log()
    monkeypatch.setenv(KEY_VARIABLE, "a-key-of-some-length")
    with ComfyServer(tmp_path, ("--listen", "0.0.0.0")) as server:
        assert server.get(f"{PREFIX}/health") == {"status": "ok", "demo": False, "apiKey": True, "problems": []}
        with pytest.raises(urllib.error.HTTPError) as refused:
            server.get(f"{PREFIX}/queue")
        assert refused.value.code == 401 and json.load(refused.value)["errors"][0]["code"] == "missingApiKey"

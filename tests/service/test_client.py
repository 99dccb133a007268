"""The hosted service's Python client against the local server with the demo network. Only its URL is changed."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from audio_files import write
from local_service import Local, threaded
from service_tools import MODEL, in_loop

from acestep_xl.audio.decoding import read
from acestep_xl.nodes.load_audio import example
from acestep_xl.service.engine.in_process import HeadlessEngine
from acestep_xl.service.http.context import CONTEXT
from acestep_xl.service.http.sessions import SESSIONS

runware = pytest.importorskip("runware", reason="the client `runware` is not installed")
KEY = "a-key-of-some-length"
SECONDS = 8  # of the source


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    folder = tmp_path_factory.mktemp("client")
    with threaded(folder, HeadlessEngine(folder / "work", [], "cpu"), api_keys=(KEY,)) as local:
        yield local


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("source") / "source.wav"
    return write(target, example()[0][:, : SECONDS * 48000], 48000, format="wav", bit_depth=24)


async def connect(local: Local, key: str = KEY) -> Any:
    client = runware.Runware(api_key=key, url=local.socket_url)
    await client.connect()
    return client


def song(**values: Any) -> Any:
    values = {"positivePrompt": "slow waltz", "duration": 30.0, "steps": 1, "outputFormat": "WAV", **values}
    return runware.IAudioInference(model=MODEL, **{name: value for name, value in values.items() if value is not ...})


def download(url: str, folder: Path) -> torch.Tensor:
    """The waveform behind a result's URL, [c n]."""
    path = folder / url.rpartition("/")[2]
    with urllib.request.urlopen(url, timeout=30) as answer:
        path.write_bytes(answer.read())
    samples, rate = read(path)
    assert rate == 48000
    return samples[0] if samples.ndim == 3 else samples


@in_loop
async def test_text_to_music(local: Local, tmp_path: Path) -> None:
    client = await connect(local)
    (result,) = await client.audioInference(song(seed=11, includeCost=True))
    assert (result.taskType, result.seed, result.cost) == ("audioInference", 11, 0.0)
    waveform = await asyncio.to_thread(download, result.audioURL, tmp_path)
    assert waveform.shape == (2, 30 * 48000) and waveform.abs().max() > 0.1
    await client.disconnect()


@in_loop
async def test_several_results_in_the_requested_format(local: Local, tmp_path: Path) -> None:
    client = await connect(local)
    settings = runware.IAudioSettings(bitrate=96, channels=1, sampleRate=24000)
    request = song(seed=3, numberResults=2, outputFormat="MP3", audioSettings=settings, outputType="dataURI")
    results = await client.audioInference(request)
    assert [one.seed for one in results] == [3, 4] and len({one.audioUUID for one in results}) == 2
    assert all(one.audioDataURI.startswith("data:audio/mpeg;base64,") for one in results)
    assert results[0].audioDataURI != results[1].audioDataURI and results[0].audioURL is None
    await client.disconnect()


@in_loop
async def test_a_cover_of_an_upload(local: Local, source: Path, tmp_path: Path) -> None:
    client = await connect(local)
    upload = await client.uploadMedia(str(source))
    inputs = runware.types.IAudioInputs(audio=upload.mediaUUID)
    (result,) = await client.audioInference(song(duration=..., strength=0.8, inputs=inputs))
    waveform = await asyncio.to_thread(download, result.audioURL, tmp_path)
    assert waveform.shape == (2, SECONDS * 48000)
    again = runware.types.IAudioInputs(audio=result.audioUUID)
    assert await client.audioInference(song(duration=..., inputs=again)), "a result can be a source"
    await client.disconnect()


@in_loop
async def test_a_repaint_keeps_the_rest_of_the_source(local: Local, source: Path, tmp_path: Path) -> None:
    client = await connect(local)
    upload = await client.uploadMedia(str(source))
    settings = runware.types.ISettings(repaintingStart=3.0, repaintingEnd=5.0, bpm=90, keyScale="A minor")
    inputs = runware.types.IAudioInputs(audio=upload.mediaUUID)
    (result,) = await client.audioInference(song(duration=..., settings=settings, inputs=inputs))
    waveform = await asyncio.to_thread(download, result.audioURL, tmp_path)
    original = example()[0][:, : SECONDS * 48000]
    before, inside = slice(0, 2 * 48000), slice(3 * 48000 + 9600, 5 * 48000 - 9600)
    difference = (waveform - original.reshape(waveform.shape)).abs()
    assert difference[:, before].max() < 1e-3 < 0.05 < difference[:, inside].max()
    await client.disconnect()


@in_loop
async def test_async_tasks_are_acknowledged_and_fetched(local: Local) -> None:
    client = await connect(local)
    task = await client.audioInference(song(deliveryMethod="async", numberResults=2, seed=8))
    assert isinstance(task, runware.types.IAsyncTaskResponse) and task.taskType == "audioInference"
    results = await client.getResponse(task.taskUUID, numberResults=2)
    assert [(one.seed, one.status) for one in results] == [(8, "success"), (9, "success")]
    assert [one.audioUUID for one in await client.getResponse(task.taskUUID, numberResults=2)] == [
        one.audioUUID for one in results
    ]
    details = await client.getTaskDetails(task.taskUUID)
    assert details.request[0].positivePrompt == "slow waltz" and len(details.response) == 2
    await client.disconnect()


@in_loop
async def test_many_tasks_at_once_on_one_connection(local: Local) -> None:
    client = await connect(local)
    results = await asyncio.gather(*(client.audioInference(song(seed=seed)) for seed in range(3)))
    assert [one.seed for (one,) in results] == [0, 1, 2]
    await client.disconnect()


@in_loop
async def test_errors_in_the_client(local: Local) -> None:
    client = await connect(local)
    with pytest.raises(runware.RunwareAPIError) as refused:
        await client.audioInference(song(steps=301))
    assert refused.value.code == "invalidSteps" and refused.value.error_data["parameter"] == "steps"
    assert "1 to 300" in refused.value.error_data["message"]
    with pytest.raises(runware.RunwareAPIError) as refused:
        await client.audioInference(song(strength=0.5))
    assert refused.value.code == "incompatibleParameters"
    (result,) = await client.audioInference(song())
    with pytest.raises(runware.RunwareAPIError) as refused:
        await client.audioInference(song(taskUUID=result.taskUUID))
    assert refused.value.code == "conflictTaskUUID"
    assert await client.audioInference(song()), "the connection survives errors"
    await client.disconnect()


@in_loop
async def test_a_wrong_key_is_reported(local: Local) -> None:
    client = await connect(local, "wrong")
    assert not client.isAuthenticated()
    with pytest.raises(ConnectionError, match="not accepted"):
        await client.audioInference(song())
    await client.disconnect()


@in_loop
async def test_a_broken_connection_loses_no_result(local: Local) -> None:
    """The client reconnects by itself, sends its task again, gets the error that it exists, and polls."""
    client = await connect(local)
    waiting = asyncio.create_task(client.audioInference(song(steps=40, seed=21)))
    context, sessions = local.runner.app[CONTEXT], local.runner.app[SESSIONS]
    while not any(one.pending for one in sessions._sessions.values()):
        await asyncio.sleep(0.01)
    loop = context._tasks._loop  # type: ignore[union-attr]  # open by now
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(sessions.close(), loop))
    (result,) = await asyncio.wait_for(waiting, 50)
    assert result.seed == 21 and result.audioURL
    await client.disconnect()

"""The hosted service's own Python client against the local server, with the demo network. Only its URL is changed."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from local_service import Local, threaded
from service_tools import MODEL, in_loop

from acestep_xl.audio.files import read, write
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
    with threaded(folder, HeadlessEngine(folder / "work", [], "cpu"), api_keys=(KEY,)) as found:
        yield found


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("source") / "source.wav"
    return write(target, example()[0][:, : SECONDS * 48000], 48000, format="wav", bit_depth=24)


async def client(local: Local, key: str = KEY) -> Any:
    made = runware.Runware(api_key=key, url=local.socket_url)
    await made.connect()
    return made


def song(**values: Any) -> Any:
    given = {"positivePrompt": "slow waltz", "duration": 30.0, "steps": 1, "outputFormat": "WAV", **values}
    return runware.IAudioInference(model=MODEL, **{name: value for name, value in given.items() if value is not ...})


def heard(url: str, folder: Path) -> torch.Tensor:
    """The waveform behind a result's URL, [c n]."""
    path = folder / url.rpartition("/")[2]
    with urllib.request.urlopen(url, timeout=30) as answer:
        path.write_bytes(answer.read())
    samples, rate = read(path)
    assert rate == 48000
    return samples[0] if samples.ndim == 3 else samples


@in_loop
async def test_text_to_music(local: Local, tmp_path: Path) -> None:
    asking = await client(local)
    (found,) = await asking.audioInference(song(seed=11, includeCost=True))
    assert (found.taskType, found.seed, found.cost) == ("audioInference", 11, 0.0)
    waveform = await asyncio.to_thread(heard, found.audioURL, tmp_path)
    assert waveform.shape == (2, 30 * 48000) and waveform.abs().max() > 0.1
    await asking.disconnect()


@in_loop
async def test_several_results_as_files_of_the_asked_kind(local: Local, tmp_path: Path) -> None:
    asking = await client(local)
    settings = runware.IAudioSettings(bitrate=96, channels=1, sampleRate=24000)
    request = song(seed=3, numberResults=2, outputFormat="MP3", audioSettings=settings, outputType="dataURI")
    found = await asking.audioInference(request)
    assert [one.seed for one in found] == [3, 4] and len({one.audioUUID for one in found}) == 2
    assert all(one.audioDataURI.startswith("data:audio/mpeg;base64,") for one in found)
    assert found[0].audioDataURI != found[1].audioDataURI and found[0].audioURL is None
    await asking.disconnect()


@in_loop
async def test_a_cover_of_an_upload(local: Local, source: Path, tmp_path: Path) -> None:
    asking = await client(local)
    kept = await asking.uploadMedia(str(source))
    inputs = runware.types.IAudioInputs(audio=kept.mediaUUID)
    (found,) = await asking.audioInference(song(duration=..., strength=0.8, inputs=inputs))
    waveform = await asyncio.to_thread(heard, found.audioURL, tmp_path)
    assert waveform.shape == (2, SECONDS * 48000)
    again = runware.types.IAudioInputs(audio=found.audioUUID)
    assert await asking.audioInference(song(duration=..., inputs=again)), "a result is a source too"
    await asking.disconnect()


@in_loop
async def test_a_repaint_leaves_the_rest_of_the_source(local: Local, source: Path, tmp_path: Path) -> None:
    asking = await client(local)
    kept = await asking.uploadMedia(str(source))
    settings = runware.types.ISettings(repaintingStart=3.0, repaintingEnd=5.0, bpm=90, keyScale="A minor")
    inputs = runware.types.IAudioInputs(audio=kept.mediaUUID)
    (found,) = await asking.audioInference(song(duration=..., settings=settings, inputs=inputs))
    waveform = await asyncio.to_thread(heard, found.audioURL, tmp_path)
    original = example()[0][:, : SECONDS * 48000]
    before, inside = slice(0, 2 * 48000), slice(3 * 48000 + 9600, 5 * 48000 - 9600)
    apart = (waveform - original.reshape(waveform.shape)).abs()
    assert apart[:, before].max() < 1e-3 < 0.05 < apart[:, inside].max()
    await asking.disconnect()


@in_loop
async def test_async_tasks_are_acknowledged_and_fetched(local: Local) -> None:
    asking = await client(local)
    known = await asking.audioInference(song(deliveryMethod="async", numberResults=2, seed=8))
    assert isinstance(known, runware.types.IAsyncTaskResponse) and known.taskType == "audioInference"
    found = await asking.getResponse(known.taskUUID, numberResults=2)
    assert [(one.seed, one.status) for one in found] == [(8, "success"), (9, "success")]
    assert [one.audioUUID for one in await asking.getResponse(known.taskUUID, numberResults=2)] == [
        one.audioUUID for one in found
    ]
    details = await asking.getTaskDetails(known.taskUUID)
    assert details.request[0].positivePrompt == "slow waltz" and len(details.response) == 2
    await asking.disconnect()


@in_loop
async def test_many_tasks_at_once_on_one_connection(local: Local) -> None:
    asking = await client(local)
    found = await asyncio.gather(*(asking.audioInference(song(seed=seed)) for seed in range(3)))
    assert [one.seed for (one,) in found] == [0, 1, 2]
    await asking.disconnect()


@in_loop
async def test_errors_as_the_client_knows_them(local: Local) -> None:
    asking = await client(local)
    with pytest.raises(runware.RunwareAPIError) as refused:
        await asking.audioInference(song(steps=301))
    assert refused.value.code == "invalidSteps" and refused.value.error_data["parameter"] == "steps"
    assert "1 to 300" in refused.value.error_data["message"]
    with pytest.raises(runware.RunwareAPIError) as refused:
        await asking.audioInference(song(strength=0.5))
    assert refused.value.code == "incompatibleParameters"
    (found,) = await asking.audioInference(song())
    with pytest.raises(runware.RunwareAPIError) as refused:
        await asking.audioInference(song(taskUUID=found.taskUUID))
    assert refused.value.code == "conflictTaskUUID"
    assert await asking.audioInference(song()), "the connection outlives errors"
    await asking.disconnect()


@in_loop
async def test_a_wrong_key_is_told(local: Local) -> None:
    asking = await client(local, "wrong")
    assert not asking.isAuthenticated()
    with pytest.raises(ConnectionError, match="not accepted"):
        await asking.audioInference(song())
    await asking.disconnect()


@in_loop
async def test_a_broken_connection_loses_no_result(local: Local) -> None:
    """The client reconnects by itself, sends its task again and is told that it is known, and polls."""
    asking = await client(local)
    waiting = asyncio.create_task(asking.audioInference(song(steps=40, seed=21)))
    server, sessions = local.runner.app[CONTEXT], local.runner.app[SESSIONS]
    while not any(one.pending for one in sessions._sessions.values()):
        await asyncio.sleep(0.01)
    loop = server._tasks._loop  # type: ignore[union-attr]  # it is open
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(sessions.close(), loop))
    (found,) = await asyncio.wait_for(waiting, 50)
    assert found.seed == 21 and found.audioURL
    await asking.disconnect()

"""The engine without ComfyUI, with the demo network: real songs, stops, errors, and the usage of a run."""

from __future__ import annotations

import base64
import errno
import sys
import threading
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from audio_files import write
from service_tools import in_loop, inference, receiving
from task_queue import open_tasks

from acestep_xl.audio.decoding import read
from acestep_xl.audio.encoding import encode
from acestep_xl.nodes.load_audio import example
from acestep_xl.runner.graph import Graph
from acestep_xl.service.engine import in_process
from acestep_xl.service.engine import usage as usage_module
from acestep_xl.service.engine.graph_builder import build_graph
from acestep_xl.service.engine.in_process import HeadlessEngine
from acestep_xl.service.engine.protocol import DiskFull, RunError, Stopped
from acestep_xl.service.engine.usage import Meter, Usage
from acestep_xl.service.queue.tasks import Tasks
from acestep_xl.service.schema.request import read_tasks
from acestep_xl.service.schema.task import Task
from acestep_xl.service.settings import ServiceSettings


def graph_of(engine: HeadlessEngine, seed: int = 7, **values: Any) -> Graph:
    task = inference(**{"duration": 30, "steps": 1, "outputFormat": "WAV", **values})
    source = "source.wav" if task.value("inputs.audio") else ""
    return build_graph(task, seed=seed, prefix="service/song", table=engine.table(), source=source, demo=True)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> HeadlessEngine:
    """With an eight-second source imported."""
    folder = tmp_path_factory.mktemp("engine")
    source = write(folder / "source.wav", example()[0], 48000, format="wav", bit_depth=24)
    engine = HeadlessEngine(folder / "work", [], "cpu")
    engine.import_source(source)
    return engine


def waveform(engine: HeadlessEngine, graph: Graph) -> torch.Tensor:
    (path,) = engine.run(graph, lambda done: None, bool)
    samples, rate = read(path)
    assert rate == 48000
    return samples[0]


def test_a_song_and_another_seed_without_loading_again(engine: HeadlessEngine, caplog: Any) -> None:
    first = waveform(engine, graph_of(engine, seed=1))
    assert first.shape == (2, 30 * 48000)
    caplog.clear()
    second = waveform(engine, graph_of(engine, seed=2))
    assert not torch.equal(first, second)
    assert "demo network" not in caplog.text, "the loader logs this each time it runs"
    assert torch.equal(waveform(engine, graph_of(engine, seed=1)), first)


def test_covers_repaints_and_extensions(engine: HeadlessEngine) -> None:
    audio = {"audio": "11111111-2222-4333-8444-555555555555"}
    lengths = {}
    for name, settings in {
        "cover": {},
        "repaint": {"repaintingStart": 2, "repaintingEnd": 4},
        "before": {"repaintingStart": -3, "repaintingEnd": 0},
        "after": {"repaintingStart": 8, "repaintingEnd": 10},
        "to the end": {"repaintingStart": 6},
        "from the start": {"repaintingEnd": 2},
    }.items():
        task = inference(steps=1, outputFormat="WAV", settings=settings, inputs=audio)
        graph = build_graph(task, seed=1, prefix="a", table=engine.table(), source="source.wav", demo=True)
        samples = waveform(engine, graph)
        lengths[name] = samples.shape[-1] / 48000
        if name in ("repaint", "to the end", "from the start"):
            same = ((samples - example()[0]).abs() < 2**-22).all(dim=0).numpy()  # both were written with 24 bits
            first, last = np.flatnonzero(~same)[[0, -1]] / 48000
            expected = {"repaint": (2, 4), "to the end": (6, 8), "from the start": (0, 2)}[name]
            assert (first, last) == pytest.approx(expected, abs=0.06), name
    assert lengths == {"cover": 8, "repaint": 8, "before": 11, "after": 10, "to the end": 8, "from the start": 8}


def test_progress_only_grows_up_to_the_end(engine: HeadlessEngine) -> None:
    shares: list[float] = []
    engine.run(graph_of(engine, seed=5, steps=6), shares.append, bool)
    assert shares == sorted(shares) and 0 <= shares[0] and 0.95 < shares[-1] <= 1
    assert len(set(shares)) > 6


def test_a_stop_takes_effect_within_a_step(engine: HeadlessEngine) -> None:
    """Requested in the third of many steps, it never reaches the fifth."""
    shares: list[float] = []
    stop = threading.Event()

    def on_progress(share: float) -> None:
        shares.append(share)
        if sum(share > 0.1 for share in shares) == 3:
            stop.set()

    with pytest.raises(Stopped):
        engine.run(graph_of(engine, seed=9, steps=50), on_progress, stop.is_set)
    assert shares[-1] < 0.3
    assert waveform(engine, graph_of(engine)).shape[-1] == 30 * 48000, "the next run is not stopped"


def test_errors_name_the_node_and_the_cause(
    engine: HeadlessEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = graph_of(engine)
    (sampler,) = (call for call in graph.values() if call.class_type == "AceStepXLEmptyLatent")
    sampler.inputs["batch_size"] = 0
    with pytest.raises(RunError) as caught:
        engine.run(graph, lambda done: None, bool)
    assert caught.value.node_class == "AceStepXLSampler" and caught.value.kind == "ValueError"
    assert "shape" in caught.value.reason

    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"not audio")
    other = HeadlessEngine(tmp_path / "work", [], "cpu")
    other.import_source(broken)
    task = inference(inputs={"audio": "11111111-2222-4333-8444-555555555555"})
    cover = build_graph(task, seed=1, prefix="a", table=other.table(), source=broken.name, demo=True)
    with pytest.raises(RunError) as caught:
        other.run(cover, lambda done: None, bool)
    assert caught.value.kind == "UnreadableAudio" and caught.value.reason.startswith("broken.wav (")

    original = Path.write_bytes

    def write_bytes(self: Path, data: Any) -> int:
        if self.suffix == ".part":
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, data)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(DiskFull, match="No space left on device"):
        engine.run(graph_of(engine), lambda done: None, bool)


def test_a_source_is_linked_or_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "a.flac"
    source.write_bytes(b"fLaC")
    for link in (True, False):
        if not link:
            monkeypatch.setattr(in_process.os, "link", lambda *_: (_ for _ in ()).throw(OSError("no hard links")))
        engine = HeadlessEngine(tmp_path / f"work {link}", [], "cpu")
        assert engine.import_source(source) == "a.flac"
        assert (tmp_path / f"work {link}" / "input" / "a.flac").read_bytes() == b"fLaC"
    assert source.read_bytes() == b"fLaC"


def test_an_unknown_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no device 'abacus' here"):
        HeadlessEngine(tmp_path, [], "abacus")


@in_loop
async def test_a_song_through_the_queue(tmp_path: Path) -> None:
    async with open_tasks(tmp_path, HeadlessEngine(tmp_path / "work", [], "cpu")) as tasks:
        task = inference(duration=30, steps=1, numberResults=2, outputFormat="OGG", includeCost=True)
        assert await tasks.submit([task]) == [None]
        state = await tasks.wait(task.task_uuid, 50)
        assert state is not None and state.status == "success"
        for result in state.results:
            file = await tasks.file(result["audioUUID"])
            assert file is not None and file[1] == "audio/ogg"
            assert read(file[0])[0].shape[-1] == pytest.approx(30 * 48000, abs=4096)
        assert state.results[1]["costDetails"]["seconds"] > 0


@in_loop
async def test_sources_of_every_kind(tmp_path: Path) -> None:
    """A cover of a URL, a repaint of an upload, and an extension of the repaint."""
    song = encode(example()[0], 48000, format="flac", bit_depth=24).data
    settings = ServiceSettings(demo=True, allow_private=True)
    engine = HeadlessEngine(tmp_path / "work", [], "cpu")
    async with receiving() as receiver, Tasks.open(tmp_path, engine, settings) as tasks:
        receiver.files["/song.flac"] = song
        upload = {"taskType": "mediaStorage", "taskUUID": str(uuid.uuid4()), "operation": "upload"}
        (request,) = read_tasks([{**upload, "media": base64.b64encode(song).decode()}])
        assert isinstance(request, Task) and request.task_type == "mediaStorage"
        upload_uuid = (await tasks.store_media(request))["mediaUUID"]

        async def make(audio: str, **parts: Any) -> tuple[str, float]:
            task = inference(inputs={"audio": audio}, steps=1, outputFormat="WAV", settings=parts)
            assert await tasks.submit([task]) == [None]
            state = await tasks.wait(task.task_uuid, 50)
            assert state is not None and state.errors == ()
            file = await tasks.file(state.results[0]["audioUUID"])
            assert file is not None
            return state.results[0]["audioUUID"], read(file[0])[0].shape[-1] / 48000

        assert (await make(f"{receiver.url}/song.flac"))[1] == 8
        repainted, seconds = await make(upload_uuid, repaintingStart=1, repaintingEnd=2)
        assert seconds == 8
        assert (await make(repainted, repaintingStart=-2, repaintingEnd=0))[1] == 10
        beyond = inference(inputs={"audio": upload_uuid}, steps=1, settings={"repaintingStart": 8.5})
        await tasks.submit([beyond])
        state = await tasks.wait(beyond.task_uuid, 50)
        assert state is not None
        (error,) = state.errors
        assert (error.code, error.parameter) == ("invalidRegion", ("inputs.audio", "settings.repaintingStart"))
        assert "the source ends at 8 s" in error.message


def test_usage_and_its_price() -> None:
    usage = Usage(90.0, "cpu", None, None)
    assert usage.cost(0.0) == 0.0 and usage.cost(2.4) == pytest.approx(0.06)
    assert usage.to_json() == {"seconds": 90.0, "device": "cpu"}
    usage = Usage(1.23456, "GPU", 2**30, 512.34)
    assert usage.to_json() == {"seconds": 1.235, "device": "GPU", "peakMemoryBytes": 2**30, "energyJoules": 512.3}


class Nvml:
    """The part of NVML's Python binding that is used. millijoules: its counter."""

    class NVMLError(Exception):
        pass

    def __init__(self) -> None:
        self.millijoules, self.users, self.uuid = 1000, 0, ""

    def nvmlInit(self) -> None:
        self.users += 1

    def nvmlShutdown(self) -> None:
        self.users -= 1

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        self.uuid = uuid
        return uuid

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        if self.millijoules < 0:
            raise self.NVMLError("not supported")
        return self.millijoules


def test_usage_of_a_cuda_device(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 12345)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Test GPU")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="0a-b"))
    meter = Meter("cuda:1")
    nvml.millijoules = 3500
    usage = meter.read()
    assert (usage.device, usage.peak_memory, usage.energy) == ("Test GPU", 12345, 2.5)
    assert (nvml.uuid, nvml.users) == ("GPU-0a-b", 0)
    nvml.millijoules = -1
    assert Meter("cuda:1").read().energy is None, "a card without the counter"
    assert nvml.users == 0
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert Meter("cuda:1").read().energy is None, "without the library"
    assert usage_module._energy("cpu") is None

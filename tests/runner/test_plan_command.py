"""The plan of memory: its boundaries, its words, the command; and work that runs out of memory and goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from full_size import sketch
from graphs import run, text_to_music
from hypothesis import given, settings
from hypothesis import strategies as st
from paper_card import PaperCard
from torch import Tensor, nn

from acestep_xl import parameters
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.host.offload.accelerator import RESERVE, MemoryInfo, OutOfMemory
from acestep_xl.host.offload.placement import size_of
from acestep_xl.model import demo, quantise
from acestep_xl.model.checkpoint import Networks
from acestep_xl.parameters import ids
from acestep_xl.pipeline import memory_estimate, memory_forecast, memory_plan, memory_speed
from acestep_xl.pipeline.memory_estimate import Song
from acestep_xl.pipeline.oom_retry import Strategy, fallbacks, run_with_retries
from acestep_xl.runner.cli import main

CARD = torch.device("cuda")
GIB = 2**30
MINUTE = Song(1, 1500, 1, 1200, 256)


def planned(card: MemoryInfo, song: Song = MINUTE) -> memory_plan.MemoryPlan:
    return memory_plan.make(sketch(), song, CARD, card)


def whole() -> int:
    """Bytes of all three networks."""
    return sum(map(size_of, sketch()))


def test_each_plan_begins_where_the_next_one_would_waste() -> None:
    both = memory_estimate.sampling(sketch().network, MINUTE, CARD, True)
    alone = memory_estimate.sampling(sketch().network, MINUTE, CARD, False)
    network = size_of(sketch().network)
    decode = memory_estimate.vae(sketch().vae, 512)
    everything = whole() + max(both, decode) + RESERVE
    turns, apart = network + both + RESERVE, network + alone + RESERVE
    found = [
        planned(MemoryInfo(free, free)) for free in (everything, everything - 1, turns, turns - 1, apart, apart - 1)
    ]
    assert [entry.kind for entry in found[:5]] == [
        memory_plan.WHOLE,
        memory_plan.TURNS,
        memory_plan.TURNS,
        memory_plan.TURNS,
        memory_plan.TURNS,
    ]
    assert [entry.together for entry in found] == [True, True, True, False, False, True]
    assert found[5].kind == memory_plan.ENCODERS and found[5].eight_bit
    assert planned(MemoryInfo(GIB // 2, GIB)).kind == memory_plan.TOO_LARGE


@settings(max_examples=15, deadline=None)
@given(gib=st.floats(2.5, 24), frames=st.integers(125, 15000), songs=st.integers(1, 4))
def test_a_plan_that_fits_stays_within_the_card_and_grows_with_it(gib: float, frames: int, songs: int) -> None:
    song = Song(songs, frames, 1, 1200, 256)
    small, large = planned(memory_plan.imagined(gib), song), planned(memory_plan.imagined(gib + 1), song)
    if small.kind != memory_plan.TOO_LARGE:
        assert small.card is not None
        assert all(stage.needed + RESERVE <= small.card.free for stage in small.stages)
        assert large.kind != memory_plan.TOO_LARGE
    if small.together == large.together:
        assert large.layers[0] >= small.layers[0]
    assert large.chunk >= small.chunk


def test_the_chunk_follows_the_memory_and_a_cpu_has_its_own() -> None:
    vae = sketch().vae
    room = [size_of(vae) + RESERVE + memory_estimate.vae(vae, n) for n in (512, 256, 32)]
    chunks = [
        memory_plan.vae_attempts(vae, CARD, MemoryInfo(free, free))[0].chunk
        for free in (room[0], room[0] - 1, room[1], 0)
    ]
    assert chunks == [512, 256, 256, 32]
    assert [attempt.chunk for attempt in memory_plan.vae_attempts(vae, torch.device("cpu"), None)] == [128, 64, 32]


def test_a_plan_says_what_it_does() -> None:
    lines = memory_plan.table(planned(memory_plan.imagined(8)))
    assert lines[0].startswith("memory: the network is partly streamed: ") and "of 32 layers stay" in lines[0]
    assert "with 8-bit weights the network would fit whole" in lines[-1]
    assert len(memory_plan.remarks(sketch().network, GIB, memory_plan.imagined(8))) == 1
    assert not memory_plan.remarks(sketch().network, GIB, memory_plan.imagined(12))
    assert not memory_plan.remarks(sketch().network, GIB, None)


@pytest.mark.parametrize("layout", ["split", "all_in_one", "official"])
def test_the_headers_of_a_checkpoint_tell_the_sizes_of_its_networks(layout: str, tmp_path: Path) -> None:
    from acestep_xl import host
    from acestep_xl.nodes.load_model import Loader

    name = tiny.write(layout, tmp_path)
    with host.use(HeadlessHost([tmp_path], tmp_path, device="cpu")):
        network, text, vae = Loader().load(name, "auto", "auto", "fp32")
        inputs = {"model": name, "text_encoder": "auto", "vae": "auto", "precision": "fp32"}
        drawn = memory_forecast._checkpoint(inputs, torch.device("cpu"), imagined=False)
    network.silence = network.silence[:0]  # travels with the weights and is not in their headers
    assert [size_of(m) for m in drawn] == [size_of(m) for m in (network, text.model, vae.oobleck)]
    assert all(p.device.type == "meta" for m in drawn for p in m.parameters())


def test_the_command_prints_a_plan_and_runs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = tiny.write("split", tmp_path / "models")
    setting = ["--set", f"AceStepXLLoader.model={name}", "--set", "AceStepXLEmptyLatent.seconds=240"]
    assert main(["plan", "text_to_music", *setting, "--card", "8"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[1] == "memory: everything stays on the card; at most 1.2 GiB of the 7.5 GiB that are free", told
    assert [line.split()[0] for line in told[3:6]] == ["text", "sampling", "decode"]
    assert main(["plan", "text_to_music", "--demo", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)["samplers"]
    assert entry["plan"]["kind"] == memory_plan.MAIN
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models"]


def test_the_plan_knows_what_the_speed_node_makes_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, card = text_to_music(), memory_plan.imagined(8)
    monkeypatch.setattr(memory_forecast, "_checkpoint", lambda *_, **__: sketch())

    def drawn(**inputs: Any) -> memory_plan.MemoryPlan:
        fast = {"class_type": ids.SPEED, "inputs": {"model": ["load", 0], **inputs}}
        guider = next(node for node in graph.values() if node["class_type"] == ids.GUIDER)
        guider["inputs"]["model"] = ["fast", 0] if inputs else ["load", 0]
        (found,) = memory_forecast.forecast({**graph, "fast": fast}, 60, card)
        assert found.plan is not None
        return found.plan

    plain, small = drawn(), drawn(weights="int8", step_cache=0.0)
    assert (
        plain.kind == memory_plan.PARTLY and plain.eight_bit and small.kind == memory_plan.TURNS and not small.eight_bit
    )
    network = quantise.share(sketch().network, "int8")
    assert small.stages[1].weights == size_of(network)
    frames = parameters.MINIMUM_FRAMES
    assert small.stages[1].work - plain.stages[1].work >= memory_speed.memory(network, 1, frames) > 0
    cached, linked = (drawn(weights="as loaded", step_cache=value) for value in (0.1, ["another", 0]))
    network = quantise.share(sketch().network)
    network.step_cache = 0.1
    assert cached.stages[1].work - plain.stages[1].work == memory_speed.memory(network, 1, frames) > 0
    assert linked == cached


def test_what_the_command_cannot_know_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "cover", "--demo"]) == 0
    assert "give it with --seconds" in capsys.readouterr().out
    assert main(["plan", "cover", "--demo", "--seconds", "60"]) == 0
    assert "in main memory" in capsys.readouterr().out
    assert main(["plan", "text_to_music", "--demo", "--card", "0", "--seconds", "900"]) == 2
    said = capsys.readouterr().err
    assert "--card 0" in said and "--seconds 900" in said


class Failing:
    """Lets the first so many forwards of some modules run out of memory."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self, module: nn.Module, arguments: Any) -> None:
        if self.left:
            self.left -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


class Carded(HeadlessHost):
    """On a card of paper; keeps what it was told."""

    def __init__(self, folder: Path, size: int = 2**36) -> None:
        self.paper = PaperCard(size)
        super().__init__([], folder, machine=self.paper)
        self.told: list[str] = []

    def warn(self, message: str) -> None:
        self.told.append(message)


def song(
    folder: Path, fail: Callable[[Networks], None] | None, monkeypatch: pytest.MonkeyPatch
) -> tuple[Tensor, Carded]:
    """The waveform of the small graph on a card of paper, with the demo networks as prepared by ``fail``."""
    parts = demo.load()
    if fail is not None:
        fail(Networks(parts[0], parts[1].model, parts[2]))
    monkeypatch.setattr(demo, "load", lambda: parts)
    host = Carded(folder)
    return run(folder, probes=("decode",), host=host).kept["decode"]["waveform"], host


@pytest.mark.parametrize("stage", ["text", "condition", "step", "decode"])
def test_a_shortage_at_any_stage_gives_the_same_song(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, host = song(tmp_path, None, monkeypatch)
    calm = list(host.told)
    hook = Failing(2)

    def fail(parts: Networks) -> None:
        layers = parts.network.decoder.layers
        target = {
            "text": parts.text,
            "condition": parts.network.encoder,
            "step": layers[2],
            "decode": parts.vae.decoder,
        }
        target[stage].register_forward_pre_hook(hook)

    again, host = song(tmp_path, fail, monkeypatch)
    said = [line for line in host.told if line not in calm]
    assert hook.left == 0 and len(said) == 2 and all("out of memory while" in line for line in said), said
    torch.testing.assert_close(again, expected, rtol=0, atol=1e-4)


def test_a_shortage_everywhere_ends_with_what_helps_and_the_host_can_be_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from acestep_xl.runner.execute import NodeError

    hook = Failing(10**6)

    def fail(parts: Networks) -> None:
        parts.network.decoder.layers[1].register_forward_pre_hook(hook)

    with pytest.raises(NodeError) as caught:
        song(tmp_path, fail, monkeypatch)
    assert isinstance(caught.value.__cause__, OutOfMemory) and isinstance(
        caught.value.__cause__, torch.OutOfMemoryError
    )
    for words in (
        "while sampling",
        "were set aside",
        "could be had",
        "Make the song shorter",
        "Tried to allocate 2.00",
    ):
        assert words in str(caught.value)
    network = demo.load()[0]
    host = Carded(tmp_path)
    host.paper.modules = [network]
    with pytest.raises(OutOfMemory):
        run_with_retries(
            host, "x", [network], fallbacks(1, host.memory_info()), lambda attempt, device: hook(network, ())
        )
    assert (
        run_with_retries(host, "x", [network], fallbacks(1, host.memory_info()), lambda attempt, device: attempt.memory)
        == 1
    )
    assert host.memory_info() == MemoryInfo(2**36, 2**36)


def test_each_attempt_asks_for_more_and_other_errors_pass(tmp_path: Path) -> None:
    host, asked = Carded(tmp_path), []
    network = nn.Linear(2, 2)

    def work(attempt: Strategy, device: torch.device) -> None:
        asked.append(attempt.memory)
        raise torch.OutOfMemoryError

    with pytest.raises(OutOfMemory):
        run_with_retries(host, "x", [network], fallbacks(100, host.memory_info()), work)
    assert asked == [100, 200, 2**36]
    with pytest.raises(ZeroDivisionError):
        run_with_retries(host, "x", [network], fallbacks(100, None), lambda attempt, device: 1 // 0)
    guided = memory_plan.sampling_attempts(sketch().network, MINUTE, CARD, memory_plan.imagined(24))
    assert [attempt.together for attempt in guided] == [True, False, False, False]
    single = memory_plan.sampling_attempts(
        sketch().network, replace(MINUTE, guided=False), CARD, memory_plan.imagined(24)
    )
    assert [attempt.together for attempt in single] == [False] * 3


def test_the_memory_page_lists_these_plans() -> None:
    words = {
        memory_plan.WHOLE: "everything stays",
        memory_plan.TURNS: "one part at a time",
        memory_plan.TOO_LARGE: "does not fit",
    }

    def cell(gib: int, frames: int) -> str:
        found = planned(memory_plan.imagined(gib), replace(MINUTE, frames=frames))
        kind = words.get(found.kind, f"{found.layers[0]} of {found.layers[1]} layers")
        return kind + (", 8-bit whole" if found.eight_bit else "")

    page = (Path(__file__).parents[2] / "docs/memory.md").read_text("utf-8")
    for gib in (4, 6, 8, 10, 12, 16, 24):
        row = " | ".join(cell(gib, frames) for frames in (1500, 6000, 15000))
        assert f"| {gib} GiB | {row} |" in page

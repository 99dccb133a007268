"""Repaint, extend, cover, timbre, variations: what a user gets from an edit, from the recording to the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import edit_graphs as edits
import graphs
import numpy as np
import pytest
import soundfile
import torch
from edit_graphs import FRAME, RATE, node
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from measure import batch_tolerance
from torch import Tensor

from acestep_xl.model import demo
from acestep_xl.model.predictor import Predictor
from acestep_xl.model.vae.oobleck import Oobleck
from acestep_xl.nodes.load_audio import example
from acestep_xl.pipeline.conditioning import REFERENCES
from acestep_xl.pipeline.edit import LENGTH
from acestep_xl.runner.execute import NodeError

EXAMPLE = node("LoadAudio", audio="example")


@pytest.fixture(autouse=True)
def one_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo checkpoint once for all tests; so its loading also encodes no silence while a test counts."""
    edits.parts()
    monkeypatch.setattr(demo, "load", edits.parts)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Every waveform that goes into the VAE's encoder."""
    seen: list[Tensor] = []
    original = Oobleck.encode

    def watch(self: Oobleck, waveform: Tensor, *more: Any) -> Tensor:
        seen.append(waveform)
        return original(self, waveform, *more)

    monkeypatch.setattr(Oobleck, "encode", watch)
    return seen


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Predictor]:
    """The predictor of every step, in order."""
    seen: list[Predictor] = []
    original = Predictor.__call__

    def watch(self: Predictor, x: Tensor, t: float, *, unconditional: bool) -> Any:
        seen.append(self)
        return original(self, x, t, unconditional=unconditional)

    monkeypatch.setattr(Predictor, "__call__", watch)
    return seen


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Predictor]:
    """Every predictor that is made."""
    seen: list[Predictor] = []
    original = Predictor.__init__

    def watch(self: Predictor, *arguments: Any) -> None:
        seen.append(self)
        original(self, *arguments)

    monkeypatch.setattr(Predictor, "__init__", watch)
    return seen


def text_to_music(seconds: float, **settings: Any) -> edits.Graph:
    """The same song without a source, in the two steps of the edits."""
    graph = graphs.text_to_music()
    graph["empty"]["inputs"]["seconds"] = seconds
    graph["schedule"]["inputs"]["steps"] = 2
    for place, value in settings.items():
        name, _, key = place.partition("_")
        graph[name]["inputs"][key] = value
    return graph


# Repaint with splice: regions on the new timeline, in samples.

EIGHT = 8 * RATE
ONE = ("3-4.5", 0, 0, [(144000, 216000)])
THREE = ("6.2-6.9, 1-1.5; 0:03-0:04", 0, 0, [(48000, 72000), (144000, 192000), (297600, 331200)])
PREPEND = ("-3-0", 144000, 0, [(0, 144000)])
# The region starts inside the source, so its last second is new as well.
APPEND = ("7-12", 0, 192000, [(336000, 576000)])
BOTH = ("-3-0, 7-12", 144000, 192000, [(0, 144000), (480000, 720000)])


@pytest.mark.parametrize(
    ("kind", "bits", "channels", "odd", "case"),
    [
        ("wav", 16, 2, 0, ONE),
        ("wav", 24, 2, 0, THREE),
        ("wav", 24, 1, 777, ONE),
        ("wav", 16, 1, 1919, BOTH),
        ("wav", 24, 2, 1, APPEND),
        ("flac", 16, 2, 777, THREE),
        ("flac", 24, 2, 0, BOTH),
        ("flac", 24, 1, 0, PREPEND),
        ("flac", 16, 1, 1, APPEND),
        ("flac", 24, 2, 1919, PREPEND),
    ],
)
def test_outside_regions_and_crossfades_every_sample_is_the_sources(
    tmp_path: Path, kind: str, bits: int, channels: int, odd: int, case: tuple[str, int, int, list[tuple[int, int]]]
) -> None:
    text, left, right, regions = case
    length = EIGHT + odd
    right = max(0, right - odd)
    source = edits.integers(channels, length, bits)
    edits.record(tmp_path / "in" / f"source.{kind}", source, bits)
    graph = edits.repaint(text, node("LoadAudio", audio=f"source.{kind}"))
    (file,) = edits.run(tmp_path, graph, {"save.bit_depth": str(bits)}, recordings=tmp_path / "in").files
    assert (soundfile.info(file).subtype, soundfile.info(file).channels) == (f"PCM_{bits}", 2)
    song = edits.read(file)
    assert len(song) == left + length + right

    old, exists = np.zeros_like(song), np.zeros(len(song), bool)
    old[left : left + length], exists[left : left + length] = source, True
    touched, inside = np.zeros(len(song), bool), np.zeros(len(song), bool)
    for start, end in regions:
        touched[max(0, start - 2400) : end + 2400] = True
        inside[start:end] = True
    assert exists[~inside].all() and exists.sum() == length
    assert (song[~touched] == old[~touched]).all()
    for start, end in regions:
        new = song[start:end]
        assert (new != old[start:end])[exists[start:end]].mean() > 0.99 if exists[start:end].any() else True
        assert new.std() > 2**31 * 0.01


@pytest.mark.parametrize("regions", ["0-8", "0-end", "start-end"])
def test_a_region_over_everything_leaves_nothing_of_the_source(tmp_path: Path, regions: str) -> None:
    run = edits.run(tmp_path, edits.repaint(regions, EXAMPLE), probes=("decode", "splice"))
    assert torch.equal(run.kept["splice"]["waveform"], run.kept["decode"]["waveform"])


def test_without_a_crossfade_the_cut_is_at_the_sample(tmp_path: Path) -> None:
    # 1.23456 s is sample 59258.88, 2.5 s lies inside a latent frame.
    run = edits.run(tmp_path, edits.repaint("1.23456-2.5", EXAMPLE, crossfade=0.0), probes=("decode", "splice"))
    song, new, old = run.kept["splice"]["waveform"], run.kept["decode"]["waveform"], example()
    assert torch.equal(song[..., :59259], old[..., :59259]) and torch.equal(song[..., 120000:], old[..., 120000:])
    assert torch.equal(song[..., 59259:120000], new[..., 59259:120000])
    # All of the region was denoised: its frames were not held at the source.
    assert (song != old)[..., 59259:120000].float().mean() > 0.99


def test_the_example_melody_is_a_source(tmp_path: Path) -> None:
    (file,) = edits.run(tmp_path, edits.repaint("2-3", EXAMPLE), {"save.bit_depth": "32"}).files
    song, _ = soundfile.read(file, dtype="float32", always_2d=True)
    melody = example()[0].T.numpy()
    assert song.shape == melody.shape == (EIGHT, 2) and melody.std() > 0.05
    kept = np.r_[0 : 96000 - 2400, 144000 + 2400 : EIGHT]
    assert (song[kept] == melody[kept]).all() and (song[96000:144000] != melody[96000:144000]).mean() > 0.99


def test_the_presets_are_strengths(tmp_path: Path) -> None:
    def song(mode: str, strength: float) -> Tensor:
        graph = edits.repaint("2-3", EXAMPLE, mode=mode, strength=strength)
        return edits.latents(tmp_path, graph, {"schedule.steps": 4})

    source = edits.run(tmp_path, edits.repaint("2-3", EXAMPLE), probes=("edit",)).kept["edit"]["samples"]

    conservative, half, aggressive = song("balanced", 1.0), song("balanced", 0.5), song("balanced", 0.0)
    assert torch.equal(song("conservative", 0.3), conservative)
    assert torch.equal(song("aggressive", 0.3), aggressive)
    inside = slice(50, 75)
    assert (conservative - half)[..., inside].abs().max() > 1e-3 < (half - aggressive)[..., inside].abs().max()
    # Held at the source to the last step there is nothing left to fade; what was let go half-way fades over 12 frames.
    for latents, blend in ((conservative, 0), (half, 12), (aggressive, 0)):
        same = (latents == source).all(dim=1)[0]
        assert same.nonzero().flatten().tolist() == [*range(50 - blend), *range(75 + blend, 200)]


# Chains.


def chain() -> edits.Graph:
    """Text to music, a repaint of its latent, a cover of the result."""
    graph = text_to_music(6.0)
    inner = {"strength": 0.5, "crossfade": 0.05, "batch_size": 1, "mode": "balanced"}
    graph["repaint"] = node("Repaint", regions="2-3.5", latent=["sample", 0], **inner)
    graph["cover"] = node("Cover", codes=True, strength=1.0, source_start=0.0, batch_size=1, latent=["sample2", 0])
    for number, (name, task) in enumerate((("repaint", "repaint"), ("cover", "cover")), 2):
        text, guider, sample = (json.loads(json.dumps(graph[part])) for part in ("text", "guider", "sample"))
        text["inputs"] |= {"task": task, "duration": [name, 1]}
        guider["inputs"]["positive"] = [f"text{number}", 0]
        sample["inputs"] |= {"guider": [f"guider{number}", 0], "latent": [name, 0], "seed": number}
        graph |= {f"text{number}": text, f"guider{number}": guider, f"sample{number}": sample}
    graph["decode"]["inputs"]["latent"] = ["sample3", 0]
    return graph


def test_text_to_music_then_repaint_then_cover_without_the_encoder(
    tmp_path: Path, encoded: list[Tensor], caplog: pytest.LogCaptureFixture
) -> None:
    run = edits.run(tmp_path, chain(), probes=("sample", "sample2", "sample3"))
    assert encoded == []
    assert not [record for record in caplog.records if "prompt was encoded" in record.getMessage()]
    first, second, third = (run.kept[name]["samples"] for name in ("sample", "sample2", "sample3"))
    assert first.shape == second.shape == third.shape == (1, 64, 150)
    # 2 to 3.5 s are frames 50 to 87 and a half; half of the strength fades over 12 more.
    outside = [*range(38), *range(100, 150)]
    assert torch.equal(second[..., outside], first[..., outside])
    assert (second != first)[..., 50:88].all()
    assert (third - second).abs().mean() > 0.1
    assert [soundfile.info(file).frames for file in run.files] == [6 * RATE]


def test_a_latent_is_extended_by_whole_frames_at_its_start(tmp_path: Path, encoded: list[Tensor]) -> None:
    graph = chain()
    graph["repaint"]["inputs"] |= {"regions": "-1.01-0, 6-7.01", "mode": "aggressive"}
    run = edits.run(tmp_path, graph, probes=("sample", "sample2"))
    first, second = run.kept["sample"]["samples"], run.kept["sample2"]["samples"]
    assert second.shape[-1] == 26 + 150 + 26 and encoded == []
    assert torch.equal(second[..., 26:176], first)
    # A cover keeps the length of its latent; of what the repaint cut from its last frame it does not know.
    graph["decode"]["inputs"]["latent"] = ["sample2", 0]
    (file,) = edits.run(tmp_path, graph).files
    assert soundfile.info(file).frames == 26 * FRAME + 6 * RATE + 48480


def test_a_latent_with_its_audio_keeps_the_audios_samples(tmp_path: Path, encoded: list[Tensor]) -> None:
    graph = edits.repaint("1-1.5", latent=["first", 0], audio=["heard", 0])
    graph |= {name: part for name, part in text_to_music(4.0).items() if name == "empty"}
    graph["first text"] = json.loads(json.dumps(graph["text"]))
    graph["first text"]["inputs"] |= {"task": "text2music", "duration": ["empty", 1]}
    graph["first guider"] = json.loads(json.dumps(graph["guider"]))
    graph["first guider"]["inputs"]["positive"] = ["first text", 0]
    graph["first"] = json.loads(json.dumps(graph["sample"]))
    graph["first"]["inputs"] |= {"guider": ["first guider", 0], "latent": ["empty", 0], "seed": 3}
    graph["heard"] = json.loads(json.dumps(graph["decode"]))
    graph["heard"]["inputs"] |= {"latent": ["first", 0], "normalize": True}
    run = edits.run(tmp_path, graph, probes=("heard", "splice", "decode"))
    assert encoded == []
    heard, song, new = (run.kept[name]["waveform"] for name in ("heard", "splice", "decode"))
    assert song.shape == heard.shape == (1, 2, 4 * RATE)
    assert torch.equal(song[..., : 48000 - 2400], heard[..., : 48000 - 2400])
    assert torch.equal(song[..., 72000 + 2400 :], heard[..., 72000 + 2400 :])
    assert torch.equal(song[..., 48000:72000], new[..., 48000:72000])


@pytest.mark.parametrize("keys", [("samples",), ("samples", LENGTH)])
def test_a_repaint_of_a_repaint_keeps_the_length(tmp_path: Path, keys: tuple[str, ...]) -> None:
    """The latent of a song whose length is no whole number of frames, with the audio that was spliced from it."""
    source = edits.audio(edits.hiss(2, 2 * RATE + 777))
    first = edits.run(
        tmp_path, edits.repaint("0.5-1", edits.given("s")), objects={"s": source}, probes=("sample", "splice")
    )
    graph = edits.repaint("1.5-1.8", edits.given("spliced"), latent=["before", 0])
    graph["before"] = edits.given("latent")
    latent = {key: first.kept["sample"][key] for key in keys}
    objects = {"spliced": first.kept["splice"], "latent": latent}
    song = edits.run(tmp_path, graph, objects=objects, probes=("splice",)).kept["splice"]["waveform"]
    assert song.shape[-1] == 2 * RATE + 777
    kept = slice(86400 + 2400, None)
    assert torch.equal(song[..., kept], source["waveform"][..., kept])


@pytest.mark.parametrize("kind", ["cover", "repaint"])
def test_an_edit_of_a_latent_keeps_its_length(tmp_path: Path, kind: str) -> None:
    """A sampled latent knows the song's length in samples; an edit of it must not add the rest of its last frame."""
    first = edits.run(
        tmp_path,
        edits.repaint("0.5-1", edits.given("s")),
        objects={"s": edits.audio(edits.hiss(2, 2 * RATE + 777))},
        probes=("sample",),
    )
    graph = edits.cover(latent=["before", 0])
    if kind == "repaint":
        graph = edits.without_splice(edits.repaint("0.5-1", latent=["before", 0]))
    graph["before"] = edits.given("latent")
    (file,) = edits.run(tmp_path, graph, objects={"latent": first.kept["sample"]}).files
    assert soundfile.info(file).frames == 2 * RATE + 777


def test_latents_joined_after_a_run_are_decoded_whole(tmp_path: Path) -> None:
    """Nodes that join or cut latents copy the rest of the LATENT, so what it says of its length no longer holds."""
    graph = edits.repaint("0.5-1", edits.given("s"))
    sampled = edits.run(tmp_path, graph, objects={"s": edits.audio(edits.hiss(2, 2 * RATE + 5))}, probes=("sample",))
    latent = sampled.kept["sample"]
    joined = {**latent, "samples": torch.cat([latent["samples"]] * 2, dim=-1)}
    decode = edits.without_splice(edits.repaint("0.5-1", edits.given("s")))
    decode |= {"decode": {**decode["decode"]}, "joined": edits.given("joined")}
    decode["decode"]["inputs"]["latent"] = ["joined", 0]
    (file,) = edits.run(tmp_path, decode, objects={"s": None, "joined": joined}).files
    assert soundfile.info(file).frames == 2 * 51 * FRAME


# Cover.


@pytest.mark.parametrize(("rate", "samples"), [(48000, 3 * 48000 + 777), (44100, 3 * 44100 + 1), (48000, 48000)])
@pytest.mark.parametrize("codes", [True, False])
def test_a_cover_is_as_long_as_its_source(tmp_path: Path, rate: int, samples: int, codes: bool) -> None:
    source = edits.audio(edits.hiss(2, samples), rate)
    graph = edits.cover(edits.given("s"), codes=codes)
    (file,) = edits.run(tmp_path, graph, objects={"s": source}).files
    assert soundfile.info(file).frames == -(-samples * 48000 // rate)


@pytest.mark.parametrize("codes", [True, False])
def test_a_cover_that_lets_go_at_once_is_text_to_music(tmp_path: Path, codes: bool) -> None:
    plain = edits.latents(tmp_path, text_to_music(8.0))
    without_source = edits.latents(tmp_path, edits.cover(EXAMPLE, strength=0.0, codes=codes))
    torch.testing.assert_close(without_source, plain, rtol=0, atol=1e-6)
    held = edits.latents(tmp_path, edits.cover(EXAMPLE, codes=codes))
    assert (held - plain).abs().max() > 0.01


def test_a_cover_that_keeps_its_source_makes_no_second_predictor(tmp_path: Path, built: list[Predictor]) -> None:
    edits.latents(tmp_path, edits.cover(EXAMPLE))
    assert len(built) == 1
    built.clear()
    edits.latents(tmp_path, edits.cover(EXAMPLE, strength=0.5))
    assert len(built) == 2


@pytest.mark.parametrize(
    ("strength", "start", "kept", "ran"),
    # Official inference: int(steps x strength), counted in the steps that are left after source_start.
    [
        (0.0, 0.0, 0, 10),
        (0.29, 0.0, 2, 10),
        (0.58, 0.0, 5, 10),
        (0.99, 0.0, 9, 10),
        (1.0, 0.0, 10, 10),
        (0.5, 0.6, 2, 4),
        (1.0, 0.99, 1, 1),
    ],
)
def test_the_source_is_let_go_once(
    tmp_path: Path, steps: list[Predictor], strength: float, start: float, kept: int, ran: int
) -> None:
    graph = edits.cover(EXAMPLE, strength=strength, source_start=start)
    run = {"schedule.steps": 10, "schedule.shift": 1.0, "guider.scale": 1.0}
    edits.latents(tmp_path, graph, run)
    assert len(steps) == ran
    assert len(set(map(id, steps[:kept]))) <= 1 and len(set(map(id, steps[kept:]))) <= 1
    assert 0 < kept < ran or len(set(map(id, steps))) == 1
    assert kept in (0, ran) or steps[kept - 1] is not steps[kept]


def test_codes_tell_less_than_the_source_itself(tmp_path: Path) -> None:
    with_codes, without = (edits.latents(tmp_path, edits.cover(EXAMPLE, codes=codes)) for codes in (True, False))
    assert (with_codes - without).abs().max() > 0.01


def test_a_run_from_its_source_stays_closer_to_it(tmp_path: Path) -> None:
    source = edits.parts()[2].encode(example())

    def likeness(source_start: float) -> float:
        graph = edits.cover(EXAMPLE, source_start=source_start)
        made = edits.latents(tmp_path, graph, {"schedule.steps": 10, "schedule.shift": 1.0})
        return float(torch.corrcoef(torch.stack([made.flatten(), source.flatten()]))[0, 1])

    free, half, close = likeness(0.0), likeness(0.5), likeness(0.9)
    assert free < half < close and close > 0.8


# Timbre.


def with_timbre(references: list[dict[str, Any]], seconds: float = 2.0) -> tuple[edits.Graph, dict[str, Any]]:
    """Text to music with references, and the objects it is given."""
    graph = text_to_music(seconds)
    before = "text"
    for i in range(len(references)):
        graph[f"given {i}"] = edits.given(f"reference {i}")
        name = f"timbre {i}"
        graph[name] = node("Timbre", conditioning=[before, 0], audio=[f"given {i}", 0], vae=["load", 2])
        before = name
    graph["guider"]["inputs"]["positive"] = [before, 0]
    return graph, {f"reference {i}": reference for i, reference in enumerate(references)}


def test_a_timbre_reference_changes_the_song(tmp_path: Path) -> None:
    graph, objects = with_timbre([edits.audio(example()[0])])
    with_it = edits.run(tmp_path, graph, objects=objects, probes=("sample", "timbre 0"))
    plain = edits.latents(tmp_path, text_to_music(2.0))
    assert (with_it.kept["sample"]["samples"] - plain).abs().max() > 1e-3
    (reference,) = with_it.kept["timbre 0"][0][1][REFERENCES]
    assert reference.shape == (1, 64, 750)
    other, objects = with_timbre([edits.audio(edits.hiss(2, RATE))])
    other_song = edits.latents(tmp_path, other, objects=objects)
    assert (with_it.kept["sample"]["samples"] - other_song).abs().max() > 1e-4


def reference_of(tmp_path: Path, recording: Tensor, rate: int = RATE) -> Tensor:
    graph, objects = with_timbre([edits.audio(recording, rate)])
    graph["probe timbre"] = {"class_type": "Probe", "inputs": {"value": ["timbre 0", 0]}}
    del graph["sample"], graph["decode"], graph["save"], graph["probe timbre"]
    run = edits.run(tmp_path, graph, objects=objects, probes=("timbre 0",))
    (reference,) = run.kept["timbre 0"][0][1][REFERENCES]
    return reference


def test_a_short_reference_repeats_and_a_long_one_gives_its_thirds(tmp_path: Path) -> None:
    short = edits.hiss(2, 7 * RATE + 5)
    repeated = short.repeat(1, 5)[:, : 30 * RATE]
    assert torch.equal(reference_of(tmp_path, short), reference_of(tmp_path, repeated))
    long = edits.hiss(2, 41 * RATE)
    ten, middle = 10 * RATE, (41 - 10) * RATE // 2
    thirds = torch.cat([long[:, :ten], long[:, middle : middle + ten], long[:, -ten:]], dim=1)
    assert torch.equal(reference_of(tmp_path, long), reference_of(tmp_path, thirds))


def test_a_reference_in_mono_and_beyond_full_scale(tmp_path: Path) -> None:
    mono = edits.hiss(1, 2 * RATE) * 4
    stereo = mono.clamp(-1, 1).expand(2, -1)
    assert torch.equal(reference_of(tmp_path, mono), reference_of(tmp_path, stereo))


def test_a_silent_reference_is_said_and_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    graph, objects = with_timbre([edits.audio(torch.zeros(2, RATE))])
    silent = edits.run(tmp_path, graph, objects=objects, probes=("sample", "timbre 0"))
    assert REFERENCES not in silent.kept["timbre 0"][0][1]
    assert any("timbre reference is silent" in record.getMessage() for record in caplog.records)
    assert torch.equal(silent.kept["sample"]["samples"], edits.latents(tmp_path, text_to_music(2.0)))


def test_several_references_count_each_and_in_a_batch_too(tmp_path: Path) -> None:
    one, two = edits.audio(example()[0]), edits.audio(edits.hiss(2, 3 * RATE))

    def song(*references: dict[str, Any], **settings: Any) -> Tensor:
        graph, objects = with_timbre(list(references))
        graph["empty"]["inputs"]["batch_size"] = settings.pop("batch", 1)
        return edits.latents(tmp_path, graph, {f"sample.{k}": v for k, v in settings.items()}, objects=objects)

    both = song(one, two)
    assert (both - song(one)).abs().max() > 1e-4 < (both - song(two)).abs().max()
    batch = song(one, two, batch=2, seed=7)
    torch.testing.assert_close(batch[:1], both, rtol=0, atol=batch_tolerance(both))
    torch.testing.assert_close(batch[1:], song(one, two, seed=8), rtol=0, atol=batch_tolerance(both))


@pytest.mark.parametrize("connected", [(), ("audio", "latent")])
def test_a_reference_is_one_of_audio_and_latent(tmp_path: Path, connected: tuple[str, ...]) -> None:
    graph, objects = with_timbre([edits.audio(edits.hiss(2, RATE))])
    graph["timbre 0"]["inputs"] = {"conditioning": ["text", 0], **{name: ["given 0", 0] for name in connected}}
    with pytest.raises(NodeError, match="one of audio and latent"):
        edits.run(tmp_path, graph, objects=objects)


def test_a_reference_from_audio_without_the_vae(tmp_path: Path) -> None:
    graph, objects = with_timbre([edits.audio(edits.hiss(2, RATE))])
    del graph["timbre 0"]["inputs"]["vae"]
    with pytest.raises(NodeError, match=r"needs the VAE: connect the loader's vae"):
        edits.run(tmp_path, graph, objects=objects)


# Batches and variations.


@pytest.mark.parametrize("kind", ["repaint", "cover"])
def test_a_batch_of_edits_is_its_single_runs(tmp_path: Path, kind: str) -> None:
    def make(batch: int, seed: int) -> graphs.Run:
        if kind == "repaint":
            graph = edits.repaint("-1-0, 2-3", EXAMPLE, batch_size=batch)
        else:
            graph = edits.cover(EXAMPLE, strength=0.5, source_start=0.3, batch_size=batch)
        return edits.run(tmp_path, graph, {"sample.seed": seed, "schedule.steps": 4}, probes=("sample",))

    together = make(3, 40)
    assert len(together.files) == 3
    for i in range(3):
        single = make(1, 40 + i)
        mine, alone = (run.kept["sample"]["samples"] for run in (together, single))
        torch.testing.assert_close(mine[i : i + 1], alone, rtol=0, atol=batch_tolerance(alone))
        # The decoder makes more of a difference than there is between the latents.
        saved, alone = (edits.read(run.files[at]) for run, at in ((together, i), (single, 0)))
        assert np.abs(saved.astype(float) - alone).max() < 2**31 * 1e-4


def test_a_batch_of_sources_is_its_single_runs(tmp_path: Path) -> None:
    sources = torch.stack([edits.hiss(2, 2 * RATE, seed=seed) for seed in (1, 2)])

    def song(waveform: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        graph = edits.repaint("0.5-1", edits.given("s"))
        objects = {"s": {"waveform": waveform, "sample_rate": RATE}}
        kept = edits.run(tmp_path, graph, {"sample.seed": seed}, objects=objects, probes=("sample", "splice")).kept
        return kept["sample"]["samples"], kept["splice"]["waveform"]

    latents, audio = song(sources, 5)
    for i in range(2):
        single, alone = song(sources[i : i + 1], 5 + i)
        torch.testing.assert_close(latents[i : i + 1], single, rtol=0, atol=batch_tolerance(single))
        torch.testing.assert_close(audio[i : i + 1], alone, rtol=0, atol=1e-4)
    graph = edits.repaint("0.5-1", edits.given("s"), batch_size=3)
    with pytest.raises(NodeError, match="batch_size is 3 and the source holds 2 songs"):
        edits.run(tmp_path, graph, objects={"s": {"waveform": sources, "sample_rate": RATE}})


def two_prompts(graph: edits.Graph) -> edits.Graph:
    """The graph with another prompt, "other", for its second song."""
    graph["other"] = json.loads(json.dumps(graph["text"]))
    other = {"caption": "loud guitars and a choir of a hundred voices", "lyrics": "[Verse]\n" + "oh " * 99, "bpm": 0}
    graph["other"]["inputs"] |= other
    graph["both"] = node("BatchPrompts", first=["text", 0], second=["other", 0])
    graph["guider"]["inputs"]["positive"] = ["both", 0]
    return graph


@pytest.mark.parametrize("kind", ["text", "repaint", "cover"])
def test_a_batch_of_prompts_is_its_single_runs(tmp_path: Path, kind: str) -> None:
    def song(batch: int, **settings: Any) -> Tensor:
        if kind == "text":
            graph = two_prompts(text_to_music(2.0, empty_batch_size=batch))
        elif kind == "repaint":
            graph = two_prompts(edits.repaint("2-3", EXAMPLE, batch_size=batch))
        else:
            graph = two_prompts(edits.cover(EXAMPLE, strength=0.5, batch_size=batch))
        changed = {place.replace("_", ".", 1): value for place, value in settings.items()}
        return edits.latents(tmp_path, graph, changed)

    both = song(2, sample_seed=3)
    first = song(1, sample_seed=3, guider_positive=["text", 0])
    second = song(1, sample_seed=4, guider_positive=["other", 0])
    alone = torch.cat([first, second])
    torch.testing.assert_close(both, alone, rtol=0, atol=batch_tolerance(alone))
    with pytest.raises(NodeError, match="2 prompts for 3 songs"):
        song(3)


@pytest.mark.parametrize("socket", ["positive", "negative"])
def test_a_batch_with_a_prompt_of_a_core_node(tmp_path: Path, socket: str) -> None:
    """Core's encode node writes none of the keys that are ours alone."""
    encoded = edits.run(tmp_path, text_to_music(2.0), probes=("text",)).kept["text"]
    text, extra = encoded[0]
    core = [[text, {key: value for key, value in extra.items() if not key.startswith("acestep_xl")}]]

    def song(name: str, batch: int, seed: int) -> Tensor:
        graph = two_prompts(text_to_music(2.0, empty_batch_size=batch)) | {"core": edits.given("core")}
        graph["other"]["inputs"]["task"] = "text2music"
        graph["both"]["inputs"] = {"first": ["core", 0], "second": ["other", 0]}
        graph["guider"]["inputs"] |= {"positive": ["text", 0], socket: [name, 0]}
        return edits.latents(tmp_path, graph, {"sample.seed": seed}, objects={"core": core})

    single = torch.cat([song("core", 1, 3), song("other", 1, 4)])
    try:
        both = song("both", 2, 3)
    except NodeError as error:
        # A batch needs the same task, and core's prompts tell none.
        assert "need the same task" in str(error)
        return
    torch.testing.assert_close(both, single, rtol=0, atol=batch_tolerance(single))


def test_negative_prompts_of_a_batch_may_be_empty(tmp_path: Path) -> None:
    """An empty negative prompt is the null condition, in a batch as alone."""

    def song(negative: str, batch: int, seed: int) -> Tensor:
        graph = text_to_music(2.0, empty_batch_size=batch)
        for name, caption in (("empty text", ""), ("noise", "noise, hiss, wrong notes")):
            graph[name] = json.loads(json.dumps(graph["text"]))
            graph[name]["inputs"]["caption"] = caption
        graph["negatives"] = node("BatchPrompts", first=["empty text", 0], second=["noise", 0])
        return edits.latents(tmp_path, graph, {"guider.negative": [negative, 0], "sample.seed": seed})

    both = song("negatives", 2, 3)
    single = torch.cat([song("empty text", 1, 3), song("noise", 1, 4)])
    torch.testing.assert_close(both, single, rtol=0, atol=batch_tolerance(single))


def test_a_retake_leads_from_one_seed_to_another(tmp_path: Path) -> None:
    def song(graph: edits.Graph, seed: int) -> Tensor:
        return edits.latents(tmp_path, graph, {"sample.seed": seed})

    def retake(variance: float) -> Tensor:
        graph = edits.repaint("2-3", EXAMPLE, batch_size=2)
        graph["retake"] = node("Retake", seed=3, retake_seed=90, variance=variance)
        graph["sample"]["inputs"]["noise"] = ["retake", 0]
        return song(graph, 12345)

    plain, other = (song(edits.repaint("2-3", EXAMPLE, batch_size=2), seed) for seed in (3, 90))
    assert torch.equal(retake(0.0), plain)
    torch.testing.assert_close(retake(1.0), other, rtol=0, atol=1e-5)
    between = retake(0.3)
    assert (between - plain).abs().max() > 0.01 < (between - other).abs().max()


# What is said.


def test_a_prompt_for_another_task_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    edits.latents(tmp_path, edits.repaint("2-3", EXAMPLE), {"text.task": "text2music"})
    expected = "encoded for text2music and the source is set up for repaint"
    assert any(expected in record.getMessage() for record in caplog.records)
    caplog.clear()
    edits.latents(tmp_path, edits.repaint("2-3", EXAMPLE))
    assert not any("encoded for" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("task", ["repaint", "cover", "lego"])
def test_a_prompt_for_a_task_without_its_source_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, task: str
) -> None:
    edits.latents(tmp_path, text_to_music(2.0, text_task=task))
    assert any(f"encoded for {task}" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("task", ["lego", "extract", "complete"])
def test_tracks_need_a_base_checkpoint(tmp_path: Path, task: str) -> None:
    graph = edits.edit(task, "Tracks", task=task, regions="", batch_size=1, audio=["source", 0], vae=["load", 2]) | {
        "source": EXAMPLE
    }
    graph["text"]["inputs"]["tracks"] = "drums"
    with pytest.raises(NodeError, match=rf"{task} needs a base checkpoint: this one is .*sft.*_base"):
        edits.run(tmp_path, graph)
    assert not list(tmp_path.rglob("*.wav"))


def test_a_splice_without_source_audio_says_so(tmp_path: Path) -> None:
    graph = chain()
    graph["splice"] = node("Splice", audio=["decode", 0], latent=["sample3", 0])
    graph["save"]["inputs"]["audio"] = ["splice", 0]
    with pytest.raises(NodeError, match="carries no source audio"):
        edits.run(tmp_path, graph)


# Everything at once.


@st.composite
def jobs(draw: st.DrawFn) -> dict[str, Any]:
    """A source of one to six seconds, one to three regions around it, and how they are made."""
    samples = draw(st.integers(RATE, 6 * RATE))
    spans = st.tuples(st.floats(-1.5, samples / RATE + 1), st.floats(0.001, 3)).map(
        lambda span: (round(span[0], 4), round(span[0] + span[1], 4))
    )
    return {
        "samples": samples,
        "channels": draw(st.integers(1, 2)),
        "spans": draw(st.lists(spans, min_size=1, max_size=3)),
        "strength": draw(st.floats(0, 1)),
        "crossfade": draw(st.floats(0, 1.5)),
        "mode": draw(st.sampled_from(["balanced", "conservative", "aggressive"])),
        "steps": draw(st.integers(1, 2)),
    }


@given(jobs())
@settings(deadline=None, max_examples=15, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_length_seam_and_untouched_part_hold_for_any_regions(
    tmp_path_factory: pytest.TempPathFactory, job: dict[str, Any]
) -> None:
    source = edits.hiss(job["channels"], job["samples"])
    text = ", ".join(f"{start:.4f}-{end:.4f}" for start, end in job["spans"])
    made = {name: job[name] for name in ("strength", "crossfade", "mode")}
    graph = edits.repaint(text, edits.given("s"), **made)
    settings = {"schedule.steps": job["steps"], "guider.scale": 1.0}
    output = tmp_path_factory.mktemp("job")
    kept = edits.run(output, graph, settings, objects={"s": edits.audio(source)}, probes=("decode", "splice")).kept
    song, new = kept["splice"]["waveform"][0], kept["decode"]["waveform"][0]

    bounds = [(round(start * RATE), round(end * RATE)) for start, end in job["spans"]]
    left = max([0, *(-start for start, _ in bounds)])
    right = max([0, *(end - job["samples"] for _, end in bounds)])
    total = left + job["samples"] + right
    assert song.shape == (2, total)
    inside = torch.zeros(total, dtype=torch.bool)
    inside[:left], inside[left + job["samples"] :] = True, True
    for start, end in bounds:
        inside[max(0, start + left) : max(0, end + left)] = True
    fade = round(job["crossfade"] * RATE)
    counted, at = torch.nn.functional.pad(inside.long().cumsum(0), (1, 0)), torch.arange(total)
    reach = counted[(at + fade + 1).clamp(max=total)] > counted[(at - fade).clamp(min=0)]
    old = torch.where(inside, new, 0)
    old[:, left : left + job["samples"]] = source
    assert torch.equal(song[:, ~reach], old[:, ~reach])
    assert torch.equal(song[:, inside], new[:, inside])
    # From one sample to the next the song moves no further than either signal, plus one step of the slope between.
    allowed = torch.maximum(new.diff().abs(), old.diff().abs()) + (new - old)[:, :-1].abs() / (fade + 1)
    assert bool((song.diff().abs() <= allowed + 1e-6).all())

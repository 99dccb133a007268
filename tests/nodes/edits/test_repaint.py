"""Repaint: outside its regions every sample is the source's; inside, its settings decide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import edit_graphs as edits
import numpy as np
import pytest
import soundfile
import torch
from edit_graphs import RATE, node
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from acestep_xl.nodes.load_audio import example

EIGHT_SECONDS = 8 * RATE

# Region text, samples before and after the source, and the regions in samples of the new timeline.
ONE = ("3-4.5", 0, 0, [(144000, 216000)])
THREE = ("6.2-6.9, 1-1.5; 0:03-0:04", 0, 0, [(48000, 72000), (144000, 192000), (297600, 331200)])
PREPEND = ("-3-0", 144000, 0, [(0, 144000)])
# The region starts inside the source, so its last second is replaced too.
APPEND = ("7-12", 0, 192000, [(336000, 576000)])
BOTH = ("-3-0, 7-12", 144000, 192000, [(0, 144000), (480000, 720000)])


@pytest.mark.parametrize(
    ("kind", "bits", "channels", "extra", "case"),
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
def test_every_sample_outside_regions_and_crossfades_is_the_sources(
    tmp_path: Path, kind: str, bits: int, channels: int, extra: int, case: tuple[str, int, int, list[tuple[int, int]]]
) -> None:
    text, left, right, regions = case
    length = EIGHT_SECONDS + extra
    right = max(0, right - extra)
    source = edits.random_integers(channels, length, bits)
    edits.write_integers(tmp_path / "in" / f"source.{kind}", source, bits)
    graph = edits.repaint(text, node("LoadAudio", audio=f"source.{kind}"))
    (file,) = edits.run(tmp_path, graph, {"save.bit_depth": str(bits)}, recordings=tmp_path / "in").files
    assert (soundfile.info(file).subtype, soundfile.info(file).channels) == (f"PCM_{bits}", 2)
    song = edits.read_integers(file)
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
        new, replaced = song[start:end], exists[start:end]
        assert not replaced.any() or (new != old[start:end])[replaced].mean() > 0.99
        assert new.std() > 2**31 * 0.01


@pytest.mark.parametrize("regions", ["0-8", "0-end", "start-end"])
def test_a_region_over_the_entire_source_replaces_all_of_it(tmp_path: Path, regions: str) -> None:
    outputs = edits.run(tmp_path, edits.repaint(regions, edits.EXAMPLE), probes=("decode", "splice")).outputs
    assert torch.equal(outputs["splice"]["waveform"], outputs["decode"]["waveform"])


def test_without_a_crossfade_the_cut_is_at_the_sample(tmp_path: Path) -> None:
    # 1.23456 s is sample 59258.88, 2.5 s lies inside a latent frame.
    run = edits.run(tmp_path, edits.repaint("1.23456-2.5", edits.EXAMPLE, crossfade=0.0), probes=("decode", "splice"))
    song, new, old = run.outputs["splice"]["waveform"], run.outputs["decode"]["waveform"], example()
    assert torch.equal(song[..., :59259], old[..., :59259]) and torch.equal(song[..., 120000:], old[..., 120000:])
    assert torch.equal(song[..., 59259:120000], new[..., 59259:120000])
    # Frames that the region covers only in part are denoised as well.
    assert (song != old)[..., 59259:120000].float().mean() > 0.99


def test_the_example_melody_is_a_source(tmp_path: Path) -> None:
    (file,) = edits.run(tmp_path, edits.repaint("2-3", edits.EXAMPLE), {"save.bit_depth": "32"}).files
    song, _ = soundfile.read(file, dtype="float32", always_2d=True)
    melody = example()[0].T.numpy()
    assert song.shape == melody.shape == (EIGHT_SECONDS, 2) and melody.std() > 0.05
    outside = np.r_[0 : 96000 - 2400, 144000 + 2400 : EIGHT_SECONDS]
    assert (song[outside] == melody[outside]).all() and (song[96000:144000] != melody[96000:144000]).mean() > 0.99


def test_the_presets_are_strengths(tmp_path: Path) -> None:
    def song(mode: str, strength: float) -> Tensor:
        graph = edits.repaint("2-3", edits.EXAMPLE, mode=mode, strength=strength)
        return edits.latents(tmp_path, graph, {"schedule.steps": 4})

    source = edits.run(tmp_path, edits.repaint("2-3", edits.EXAMPLE), probes=("edit",)).outputs["edit"]["samples"]

    conservative, half, aggressive = song("balanced", 1.0), song("balanced", 0.5), song("balanced", 0.0)
    assert torch.equal(song("conservative", 0.3), conservative)
    assert torch.equal(song("aggressive", 0.3), aggressive)
    inside = slice(50, 75)
    assert (conservative - half)[..., inside].abs().max() > 1e-3 < (half - aggressive)[..., inside].abs().max()
    # After injection at every step nothing is left to fade; after half of the steps 12 frames fade.
    for latents, blend in ((conservative, 0), (half, 12), (aggressive, 0)):
        same = (latents == source).all(dim=1)[0]
        assert same.nonzero().flatten().tolist() == [*range(50 - blend), *range(75 + blend, 200)]


@st.composite
def repaint_cases(draw: st.DrawFn) -> dict[str, Any]:
    """A source of one to six seconds, one to three regions in and around it, and the repaint's settings."""
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


@given(repaint_cases())
@settings(deadline=None, max_examples=15, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_regions_keep_the_length_the_samples_outside_and_a_smooth_seam(
    tmp_path_factory: pytest.TempPathFactory, case: dict[str, Any]
) -> None:
    source = edits.white_noise(case["channels"], case["samples"])
    text = ", ".join(f"{start:.4f}-{end:.4f}" for start, end in case["spans"])
    inputs = {name: case[name] for name in ("strength", "crossfade", "mode")}
    graph = edits.repaint(text, edits.SOURCE, **inputs)
    settings = {"schedule.steps": case["steps"], "guider.scale": 1.0}
    output = tmp_path_factory.mktemp("repaint")
    outputs = edits.run(
        output, graph, settings, objects={"s": edits.audio(source)}, probes=("decode", "splice")
    ).outputs
    song, new = outputs["splice"]["waveform"][0], outputs["decode"]["waveform"][0]

    bounds = [(round(start * RATE), round(end * RATE)) for start, end in case["spans"]]
    left = max([0, *(-start for start, _ in bounds)])
    right = max([0, *(end - case["samples"] for _, end in bounds)])
    total = left + case["samples"] + right
    assert song.shape == (2, total)
    inside = torch.zeros(total, dtype=torch.bool)
    inside[:left], inside[left + case["samples"] :] = True, True
    for start, end in bounds:
        inside[max(0, start + left) : max(0, end + left)] = True
    fade = round(case["crossfade"] * RATE)
    counts, position = torch.nn.functional.pad(inside.long().cumsum(0), (1, 0)), torch.arange(total)
    affected = counts[(position + fade + 1).clamp(max=total)] > counts[(position - fade).clamp(min=0)]
    old = torch.where(inside, new, 0)
    old[:, left : left + case["samples"]] = source
    assert torch.equal(song[:, ~affected], old[:, ~affected])
    assert torch.equal(song[:, inside], new[:, inside])
    # From one sample to the next the song changes no more than either signal, plus one step of the crossfade.
    allowed = torch.maximum(new.diff().abs(), old.diff().abs()) + (new - old)[:, :-1].abs() / (fade + 1)
    assert bool((song.diff().abs() <= allowed + 1e-6).all())

"""Timbre references: their length, level, number and silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import edit_graphs as edits
import pytest
import torch
from edit_graphs import RATE, node
from measure import batch_tolerance
from torch import Tensor

from acestep_xl.nodes.load_audio import example
from acestep_xl.pipeline.conditioning import REFERENCES


def with_timbre(references: list[dict[str, Any]], seconds: float = 2.0) -> tuple[edits.Graph, dict[str, Any]]:
    """Text to music with references, and the objects that it needs."""
    graph = edits.text_to_music(seconds)
    conditioning, objects = "text", {}
    for i, reference in enumerate(references):
        audio, timbre = f"reference {i}", f"timbre {i}"
        graph[audio], objects[audio] = edits.object_node(audio), reference
        graph[timbre] = node("Timbre", conditioning=[conditioning, 0], audio=[audio, 0], vae=["load", 2])
        conditioning = timbre
    graph["guider"]["inputs"]["positive"] = [conditioning, 0]
    return graph, objects


def test_a_timbre_reference_changes_the_song(tmp_path: Path) -> None:
    graph, objects = with_timbre([edits.audio(example()[0])])
    outputs = edits.run(tmp_path, graph, objects=objects, probes=("sample", "timbre 0")).outputs
    plain = edits.latents(tmp_path, edits.text_to_music(2.0))
    assert (outputs["sample"]["samples"] - plain).abs().max() > 1e-3
    (reference,) = outputs["timbre 0"][0][1][REFERENCES]
    assert reference.shape == (1, 64, 750)
    graph, objects = with_timbre([edits.audio(edits.white_noise(2, RATE))])
    other_song = edits.latents(tmp_path, graph, objects=objects)
    assert (outputs["sample"]["samples"] - other_song).abs().max() > 1e-4


def timbre_latents(tmp_path: Path, recording: Tensor) -> Tensor:
    """The latents ``[1 64 t]`` that the node makes of a recording ``[c n]``."""
    graph, objects = with_timbre([edits.audio(recording)])
    del graph["sample"], graph["decode"], graph["save"]
    outputs = edits.run(tmp_path, graph, objects=objects, probes=("timbre 0",)).outputs
    (reference,) = outputs["timbre 0"][0][1][REFERENCES]
    return reference


def test_a_short_reference_repeats_and_a_long_one_contributes_three_excerpts(tmp_path: Path) -> None:
    short = edits.white_noise(2, 7 * RATE + 5)
    repeated = short.repeat(1, 5)[:, : 30 * RATE]
    assert torch.equal(timbre_latents(tmp_path, short), timbre_latents(tmp_path, repeated))
    long = edits.white_noise(2, 41 * RATE)
    ten_seconds, middle = 10 * RATE, (41 - 10) * RATE // 2
    excerpts = torch.cat([long[:, :ten_seconds], long[:, middle : middle + ten_seconds], long[:, -ten_seconds:]], dim=1)
    assert torch.equal(timbre_latents(tmp_path, long), timbre_latents(tmp_path, excerpts))


def test_a_reference_in_mono_and_beyond_full_scale(tmp_path: Path) -> None:
    mono = edits.white_noise(1, 2 * RATE) * 4
    stereo = mono.clamp(-1, 1).expand(2, -1)
    assert torch.equal(timbre_latents(tmp_path, mono), timbre_latents(tmp_path, stereo))


def test_a_silent_reference_warns_and_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    graph, objects = with_timbre([edits.audio(torch.zeros(2, RATE))])
    outputs = edits.run(tmp_path, graph, objects=objects, probes=("sample", "timbre 0")).outputs
    assert REFERENCES not in outputs["timbre 0"][0][1]
    assert "timbre reference is silent" in caplog.text
    assert torch.equal(outputs["sample"]["samples"], edits.latents(tmp_path, edits.text_to_music(2.0)))


def test_each_of_several_references_counts_also_in_a_batch(tmp_path: Path) -> None:
    one, two = edits.audio(example()[0]), edits.audio(edits.white_noise(2, 3 * RATE))

    def song(*references: dict[str, Any], batch_size: int = 1, seed: int = 7) -> Tensor:
        graph, objects = with_timbre(list(references))
        settings = {"empty.batch_size": batch_size, "sample.seed": seed}
        return edits.latents(tmp_path, graph, settings, objects=objects)

    both = song(one, two)
    assert (both - song(one)).abs().max() > 1e-4 < (both - song(two)).abs().max()
    batch = song(one, two, batch_size=2)
    torch.testing.assert_close(batch[:1], both, rtol=0, atol=batch_tolerance(both))
    torch.testing.assert_close(batch[1:], song(one, two, seed=8), rtol=0, atol=batch_tolerance(both))


@pytest.mark.parametrize("connected", [(), ("audio", "latent")])
def test_a_reference_is_either_audio_or_latent(tmp_path: Path, connected: tuple[str, ...]) -> None:
    graph, objects = with_timbre([edits.audio(edits.white_noise(2, RATE))])
    graph["timbre 0"]["inputs"] = {"conditioning": ["text", 0], **{name: ["reference 0", 0] for name in connected}}
    with pytest.raises(ValueError, match="one of audio and latent"):
        edits.run(tmp_path, graph, objects=objects)


def test_an_audio_reference_needs_the_vae(tmp_path: Path) -> None:
    graph, objects = with_timbre([edits.audio(edits.white_noise(2, RATE))])
    del graph["timbre 0"]["inputs"]["vae"]
    with pytest.raises(ValueError, match=r"needs the VAE: connect the loader's vae"):
        edits.run(tmp_path, graph, objects=objects)

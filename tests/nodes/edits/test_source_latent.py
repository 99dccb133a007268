"""The latent of an earlier run as a source, and the errors about latents that cannot be one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import edit_graphs as edits
import pytest
import soundfile
import torch
from edit_graphs import FRAME, RATE, copy_node, node
from recorded_calls import record_calls

from acestep_xl.model.predictor import Predictor
from acestep_xl.model.vae.oobleck import Oobleck
from acestep_xl.pipeline.edit import LENGTH
from acestep_xl.runner.execute import NodeError
from acestep_xl.sampler.noise import draw


def repaint_then_cover() -> edits.Graph:
    """Text to music, a repaint of its latent, a cover of the result."""
    graph = edits.text_to_music(6.0)
    settings = {"strength": 0.5, "crossfade": 0.05, "batch_size": 1, "mode": "balanced"}
    graph["repaint"] = node("Repaint", regions="2-3.5", latent=["sample", 0], **settings)
    graph["cover"] = node("Cover", codes=True, strength=1.0, source_start=0.0, batch_size=1, latent=["sample2", 0])
    for number, task in enumerate(("repaint", "cover"), 2):
        text, guider = f"text{number}", f"guider{number}"
        graph[text] = copy_node(graph, "text", task=task, duration=[task, 1])
        graph[guider] = copy_node(graph, "guider", positive=[text, 0])
        graph[f"sample{number}"] = copy_node(graph, "sample", guider=[guider, 0], latent=[task, 0], seed=number)
    graph["decode"]["inputs"]["latent"] = ["sample3", 0]
    return graph


def test_text_to_music_then_repaint_then_cover_without_the_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    encodings = record_calls(monkeypatch, Oobleck, "encode")
    run = edits.run(tmp_path, repaint_then_cover(), probes=("sample", "sample2", "sample3"))
    assert encodings == []
    assert not [record for record in caplog.records if "prompt was encoded" in record.getMessage()]
    first, second, third = (run.outputs[name]["samples"] for name in ("sample", "sample2", "sample3"))
    assert first.shape == second.shape == third.shape == (1, 64, 150)
    # 2 to 3.5 s are frames 50 to 87.5; strength 0.5 fades over 12 more.
    outside = [*range(38), *range(100, 150)]
    assert torch.equal(second[..., outside], first[..., outside])
    assert (second != first)[..., 50:88].all()
    assert (third - second).abs().mean() > 0.1
    assert [soundfile.info(file).frames for file in run.files] == [6 * RATE]


def test_a_latent_is_extended_by_full_frames_at_its_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encodings = record_calls(monkeypatch, Oobleck, "encode")
    graph = repaint_then_cover()
    graph["repaint"]["inputs"] |= {"regions": "-1.01-0, 6-7.01", "mode": "aggressive"}
    run = edits.run(tmp_path, graph, probes=("sample", "sample2"))
    first, second = run.outputs["sample"]["samples"], run.outputs["sample2"]["samples"]
    assert second.shape[-1] == 26 + 150 + 26 and encodings == []
    assert torch.equal(second[..., 26:176], first)
    # The end is exact: 7.01 s, inside a frame.
    graph["decode"]["inputs"]["latent"] = ["sample2", 0]
    (file,) = edits.run(tmp_path, graph).files
    assert soundfile.info(file).frames == 26 * FRAME + 6 * RATE + 48480


def test_the_audio_of_a_latent_supplies_the_samples_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encodings = record_calls(monkeypatch, Oobleck, "encode")
    graph = edits.repaint("1-1.5", latent=["first", 0], audio=["first decode", 0])
    graph["empty"] = edits.text_to_music(4.0)["empty"]
    graph["first text"] = copy_node(graph, "text", task="text2music", duration=["empty", 1])
    graph["first guider"] = copy_node(graph, "guider", positive=["first text", 0])
    graph["first"] = copy_node(graph, "sample", guider=["first guider", 0], latent=["empty", 0], seed=3)
    graph["first decode"] = copy_node(graph, "decode", latent=["first", 0], normalize=True)
    probes = ("first decode", "splice", "decode")
    outputs = edits.run(tmp_path, graph, probes=probes).outputs
    assert encodings == []
    source, song, new = (outputs[name]["waveform"] for name in probes)
    assert song.shape == source.shape == (1, 2, 4 * RATE)
    assert torch.equal(song[..., : 48000 - 2400], source[..., : 48000 - 2400])
    assert torch.equal(song[..., 72000 + 2400 :], source[..., 72000 + 2400 :])
    assert torch.equal(song[..., 48000:72000], new[..., 48000:72000])


def repaint_noise(tmp_path: Path, samples: int, probes: tuple[str, ...] = ("sample",)) -> dict[str, Any]:
    """Outputs of a repaint of this much white noise."""
    source = edits.audio(edits.white_noise(2, samples))
    return edits.run(tmp_path, edits.repaint("0.5-1", edits.SOURCE), objects={"s": source}, probes=probes).outputs


@pytest.mark.parametrize("keys", [("samples",), ("samples", LENGTH)])
def test_a_repaint_of_a_repaint_keeps_the_length(tmp_path: Path, keys: tuple[str, ...]) -> None:
    """The song ends inside a latent frame; the second repaint gets its latent and the spliced audio."""
    length = 2 * RATE + 777
    first = repaint_noise(tmp_path, length, ("sample", "splice"))
    graph = edits.repaint("1.5-1.8", edits.object_node("spliced"), latent=["before", 0])
    graph["before"] = edits.object_node("latent")
    latent = {key: first["sample"][key] for key in keys}
    objects = {"spliced": first["splice"], "latent": latent}
    song = edits.run(tmp_path, graph, objects=objects, probes=("splice",)).outputs["splice"]["waveform"][0]
    assert song.shape[-1] == length
    outside = slice(86400 + 2400, None)
    assert torch.equal(song[:, outside], edits.white_noise(2, length)[:, outside])


@pytest.mark.parametrize("kind", ["cover", "repaint"])
def test_an_edit_of_a_latent_keeps_its_length(tmp_path: Path, kind: str) -> None:
    """A sampled latent carries the song's length in samples; an edit of it must not fill up the last frame."""
    first = repaint_noise(tmp_path, 2 * RATE + 777)
    graph = edits.cover(latent=["before", 0])
    if kind == "repaint":
        graph = edits.without_splice(edits.repaint("0.5-1", latent=["before", 0]))
    graph["before"] = edits.object_node("latent")
    (file,) = edits.run(tmp_path, graph, objects={"latent": first["sample"]}).files
    assert soundfile.info(file).frames == 2 * RATE + 777


def test_latents_joined_after_a_run_are_decoded_entirely(tmp_path: Path) -> None:
    """Nodes that join or cut latents copy the other keys of the LATENT, so the length it carries is outdated."""
    latent = repaint_noise(tmp_path, 2 * RATE + 5)["sample"]
    joined = {**latent, "samples": torch.cat([latent["samples"]] * 2, dim=-1)}
    graph = edits.without_splice(edits.repaint("0.5-1", edits.SOURCE))
    graph["joined"] = edits.object_node("joined")
    graph["decode"]["inputs"]["latent"] = ["joined", 0]
    (file,) = edits.run(tmp_path, graph, objects={"s": None, "joined": joined}).files
    assert soundfile.info(file).frames == 2 * 51 * FRAME


def test_a_splice_needs_source_audio(tmp_path: Path) -> None:
    graph = repaint_then_cover()
    graph["splice"] = node("Splice", audio=["decode", 0], latent=["sample3", 0])
    graph["save"]["inputs"]["audio"] = ["splice", 0]
    with pytest.raises(NodeError, match="carries no source audio"):
        edits.run(tmp_path, graph)


def test_a_run_below_full_noise_starts_from_silence_outside_a_source_latent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not from zeros, which the network was not trained on."""
    steps = record_calls(monkeypatch, Predictor, "__call__")
    source = edits.random_latents(150)
    graph = edits.without_splice(edits.repaint("-2-0", latent=["s", 0])) | {"s": edits.SOURCE}
    edits.latents(tmp_path, graph, {"schedule.custom_sigmas": "0.5, 0"}, objects={"s": {"samples": source}})
    noise, silence, x = draw([7], 200, 64), edits.demo_networks()[0].silent(200), steps[0]["x"]
    torch.testing.assert_close(x[:, 50:], 0.5 * noise[:, 50:] + 0.5 * source.transpose(1, 2))
    torch.testing.assert_close(x[0, :50], 0.5 * noise[0, :50] + 0.5 * silence[:50])


@pytest.mark.parametrize("kind", ["repaint", "cover"])
def test_nan_in_a_source_latent(tmp_path: Path, kind: str) -> None:
    samples = torch.zeros(1, 64, 100)
    samples[0, 5, 7] = torch.nan
    graph = edits.cover(latent=["s", 0])
    if kind == "repaint":
        graph = edits.without_splice(edits.repaint("1-2", latent=["s", 0]))
    with pytest.raises(NodeError, match=r"source latent .*NaN"):
        edits.run(tmp_path, graph | {"s": edits.SOURCE}, objects={"s": {"samples": samples}})


@pytest.mark.parametrize("shape", [(1, 8, 16, 100), (1, 8, 100), (64, 100)])
def test_a_latent_of_another_model(tmp_path: Path, shape: tuple[int, ...]) -> None:
    graph = edits.cover(latent=["s", 0]) | {"s": edits.SOURCE}
    message = re.escape(f"source latent has shape {list(shape)}, expected [songs 64 frames]")
    with pytest.raises(NodeError, match=message):
        edits.run(tmp_path, graph, objects={"s": {"samples": torch.zeros(shape)}})


@pytest.mark.parametrize("samples", [100 * FRAME + 1, 99 * FRAME])
def test_audio_and_latent_of_different_songs(tmp_path: Path, samples: int) -> None:
    graph = edits.repaint("0.5-1", edits.SOURCE, latent=["latent", 0]) | {"latent": edits.object_node("latent")}
    objects = {"s": edits.audio(edits.white_noise(2, samples)), "latent": {"samples": torch.zeros(1, 64, 100)}}
    frames = -(-samples // FRAME)
    message = f"audio is {frames} latent frames long, the source latent 100: .* not one song"
    with pytest.raises(NodeError, match=message):
        edits.run(tmp_path, graph, objects=objects)


def test_a_latent_that_has_not_been_sampled_is_refused(tmp_path: Path) -> None:
    """Without a sampler between two edits the first one would be lost silently."""
    graph = edits.cover(latent=["first", 0])
    graph |= {"source": edits.EXAMPLE, "first": edits.repaint("2-3", edits.EXAMPLE)["edit"]}
    with pytest.raises(NodeError, match="sampler"):
        edits.run(tmp_path, graph)

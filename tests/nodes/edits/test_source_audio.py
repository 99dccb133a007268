"""Audio as a source: recordings of every kind, and the errors about audio that cannot be one."""

from __future__ import annotations

from pathlib import Path

import edit_graphs as edits
import numpy as np
import pytest
import soundfile
import torch
from edit_graphs import RATE, node
from recorded_calls import record_calls
from torch import Tensor
from torchaudio.functional import resample

from acestep_xl.model.vae.oobleck import Oobleck
from acestep_xl.runner.execute import NodeError


def outside_repaint(length: int) -> Tensor:
    """Which samples a repaint of 0.5 to 1 s leaves unchanged."""
    position = torch.arange(length)
    return (position < 24000 - 2400) | (position >= 48000 + 2400)


def test_a_silent_source(tmp_path: Path) -> None:
    song, new = edits.run_repaint(tmp_path, edits.audio(torch.zeros(2, 2 * RATE)))
    assert not song[:, outside_repaint(2 * RATE)].any()
    assert torch.equal(song[:, 24000:48000], new[:, 24000:48000]) and song[:, 24000:48000].std() > 0.01
    (file,) = edits.run(tmp_path, edits.cover(edits.SOURCE), objects={"s": edits.audio(torch.zeros(2, 2 * RATE))}).files
    samples, _ = soundfile.read(file)
    assert samples.shape == (2 * RATE, 2) and samples.std() > 0.01


def test_a_source_beyond_full_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder gets it clipped; the splice keeps every sample, and a 32-bit file stores it."""
    encodings = record_calls(monkeypatch, Oobleck, "encode")
    loud = 4 * edits.white_noise(2, 2 * RATE)
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "loud.wav", loud.T.numpy(), RATE, subtype="FLOAT")
    graph = edits.repaint("0.5-1", node("LoadAudio", audio="loud.wav"))
    outside = outside_repaint(2 * RATE).numpy()
    (file,) = edits.run(tmp_path, graph, {"save.bit_depth": "32"}, recordings=tmp_path / "in").files
    samples, _ = soundfile.read(file, dtype="float32")
    assert [encoding["waveform"].abs().max() for encoding in encodings] == [1.0] and loud.abs().max() > 1.9
    assert (samples[outside] == loud.T.numpy()[outside]).all()
    assert np.abs(samples[24000:48000]).max() <= 1
    (file,) = edits.run(tmp_path, graph, {"save.bit_depth": "24"}, recordings=tmp_path / "in").files
    samples, _ = soundfile.read(file, dtype="float32")
    assert np.allclose(samples[outside], loud.clamp(-1, 1).T.numpy()[outside], rtol=0, atol=2**-23)


def test_a_source_of_one_second(tmp_path: Path) -> None:
    source = edits.white_noise(2, RATE)
    song, new = edits.run_repaint(tmp_path, edits.audio(source), "0.4-0.6", crossfade=0.1)
    assert song.shape == (2, RATE)
    assert torch.equal(song[:, :14400], source[:, :14400]) and torch.equal(song[:, 33600:], source[:, 33600:])
    assert torch.equal(song[:, 19200:28800], new[:, 19200:28800]) and not torch.equal(song, source)


def test_a_source_shorter_than_the_minimum_can_be_extended(tmp_path: Path) -> None:
    source = edits.white_noise(2, 4800)
    song, _ = edits.run_repaint(tmp_path, edits.audio(source), "-0.5-0, 0.1-1", crossfade=0.0)
    assert song.shape == (2, 24000 + 48000) and torch.equal(song[:, 24000:28800], source)
    message = r"the song would be 0.1 s long .*allowed are 1 to 600 s"
    with pytest.raises(NodeError, match=message):
        edits.run_repaint(tmp_path, edits.audio(source), "0-0.1")
    with pytest.raises(NodeError, match=message):
        edits.run(tmp_path, edits.cover(edits.SOURCE), objects={"s": edits.audio(source)})


@pytest.mark.parametrize(("rate", "samples"), [(8000, 16001), (192000, 384003), (44100, 88201), (44101, 88203)])
def test_a_source_at_another_rate(tmp_path: Path, rate: int, samples: int) -> None:
    source = edits.white_noise(1 if rate == 8000 else 2, samples)
    song, _ = edits.run_repaint(tmp_path, edits.audio(source, rate))
    assert song.shape == (2, -(-samples * RATE // rate))
    if rate != 44101:  # for which torchaudio needs gigabytes
        expected = resample(source, rate, RATE)[:, : song.shape[1]].expand(2, -1)
        outside = outside_repaint(song.shape[1])[: expected.shape[1]]
        # The last samples depend on how each resampler treats the end of its input.
        torch.testing.assert_close(song[:, :-9][:, outside[:-9]], expected[:, :-9][:, outside[:-9]], rtol=0, atol=1e-5)


def test_eight_kilohertz_mono_from_a_file(tmp_path: Path) -> None:
    edits.write_integers(tmp_path / "in" / "phone.wav", edits.random_integers(1, 16000, 16), 16, 8000)
    graph = edits.repaint("0.5-1", node("LoadAudio", audio="phone.wav"))
    (file,) = edits.run(tmp_path, graph, recordings=tmp_path / "in").files
    assert edits.read_integers(file).shape == (2 * RATE, 2)


def test_a_source_of_six_channels(tmp_path: Path) -> None:
    source = edits.white_noise(6, 2 * RATE)
    song, _ = edits.run_repaint(tmp_path, edits.audio(source))
    front_left, front_right, centre, _, back_left, back_right = source
    half = 0.5**0.5
    pairs = ((front_left, back_left), (front_right, back_right))
    sides = [(front + half * (centre + back)) / (1 + 2 * half) for front, back in pairs]
    outside = outside_repaint(2 * RATE)
    torch.testing.assert_close(song[:, outside], torch.stack(sides)[:, outside], rtol=0, atol=1e-6)


def test_recordings_are_in_the_input_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside ComfyUI it is "input" in the working directory; subfolders are part of the name."""
    source = edits.random_integers(2, 2 * RATE, 24)
    edits.write_integers(tmp_path / "input" / "band" / "take 1.flac", source, 24)
    monkeypatch.chdir(tmp_path)
    graph = edits.repaint("0.5-1", node("LoadAudio", audio="band/take 1.flac"))
    (file,) = edits.run(tmp_path / "out", graph).files
    outside = outside_repaint(2 * RATE).numpy()
    assert (edits.read_integers(file)[outside] == source[outside]).all()
    with pytest.raises(ValueError, match=r"'gone.wav' is not one of the choices: example, band/take 1.flac"):
        edits.run(tmp_path / "out", edits.repaint("0-1", node("LoadAudio", audio="gone.wav")))


def test_nan_in_audio(tmp_path: Path) -> None:
    broken = edits.white_noise(2, 2 * RATE)
    broken[0, 70000:70031], broken[1, 7] = torch.nan, torch.inf
    for graph in (edits.repaint("0.5-1", edits.SOURCE), edits.cover(edits.SOURCE)):
        with pytest.raises(NodeError, match=r"source audio contains 31 NaN and 1 infinite samples; export it again"):
            edits.run(tmp_path, graph, objects={"s": edits.audio(broken)})
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "broken.wav", broken.T.numpy(), RATE, subtype="FLOAT")
    with pytest.raises(NodeError, match=r"broken.wav contains 31 NaN and 1 infinite samples"):
        edits.run(tmp_path, edits.cover(node("LoadAudio", audio="broken.wav")), recordings=tmp_path / "in")


@pytest.mark.parametrize("kind", ["repaint", "cover", "Tracks"])
def test_no_source(tmp_path: Path, kind: str) -> None:
    graphs = {
        "repaint": edits.repaint("0.5-1", vae=["load", 2]),
        "cover": edits.cover(vae=["load", 2]),
        "Tracks": edits.edit("lego", "Tracks", task="lego", regions="", batch_size=1),
    }
    # A ValueError of the validation, not the NodeError of a run.
    with pytest.raises(ValueError, match="no source: connect audio, or the latent of an earlier run"):
        edits.run(tmp_path, graphs[kind])


def test_source_audio_without_the_vae(tmp_path: Path) -> None:
    for graph in (edits.repaint("0.5-1", edits.EXAMPLE), edits.cover(edits.EXAMPLE)):
        del graph["edit"]["inputs"]["vae"]
        with pytest.raises(ValueError, match="source audio needs the VAE: connect the loader's vae"):
            edits.run(tmp_path, graph)

"""What may come in as a source, and what is said about what may not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import edit_graphs as edits
import numpy as np
import pytest
import soundfile
import torch
from edit_graphs import FRAME, RATE, node
from torch import Tensor
from torchaudio.functional import resample

from acestep_xl.host import use
from acestep_xl.model import demo
from acestep_xl.model.predictor import Predictor
from acestep_xl.model.vae.oobleck import Oobleck
from acestep_xl.nodes.table import NODE_CLASS_MAPPINGS
from acestep_xl.pipeline.edit import LENGTH
from acestep_xl.runner.execute import NodeError
from acestep_xl.runner.node_table import NodeTable
from acestep_xl.runner.read import read_workflow
from acestep_xl.runner.validate import validate
from acestep_xl.sampler.noise import draw

EXAMPLE = node("LoadAudio", audio="example")
SOURCE = edits.given("s")


@pytest.fixture(autouse=True)
def one_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo checkpoint once for all tests."""
    edits.parts()
    monkeypatch.setattr(demo, "load", edits.parts)


def repainted(tmp_path: Path, source: dict[str, Any], regions: str = "0.5-1", **inputs: Any) -> tuple[Tensor, Tensor]:
    """The song ``[2 n]`` and the decoded music that was spliced into it."""
    run = edits.run(
        tmp_path, edits.repaint(regions, SOURCE, **inputs), objects={"s": source}, probes=("splice", "decode")
    )
    return run.kept["splice"]["waveform"][0], run.kept["decode"]["waveform"][0]


def kept_half_to_one(length: int) -> Tensor:
    """Which samples a repaint of 0.5 to 1 s leaves alone."""
    at = torch.arange(length)
    return (at < 24000 - 2400) | (at >= 48000 + 2400)


# Recordings of every kind.


def test_a_silent_source(tmp_path: Path) -> None:
    song, new = repainted(tmp_path, edits.audio(torch.zeros(2, 2 * RATE)))
    assert not song[:, kept_half_to_one(2 * RATE)].any()
    assert torch.equal(song[:, 24000:48000], new[:, 24000:48000]) and song[:, 24000:48000].std() > 0.01
    (file,) = edits.run(tmp_path, edits.cover(SOURCE), objects={"s": edits.audio(torch.zeros(2, 2 * RATE))}).files
    samples, _ = soundfile.read(file)
    assert samples.shape == (2 * RATE, 2) and samples.std() > 0.01


def test_a_source_beyond_full_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network hears it clipped; the splice keeps every sample, and a 32-bit file holds them."""
    heard: list[float] = []
    original = Oobleck.encode

    def watch(self: Oobleck, waveform: Tensor, *more: Any) -> Tensor:
        heard.append(float(waveform.abs().max()))
        return original(self, waveform, *more)

    monkeypatch.setattr(Oobleck, "encode", watch)
    loud = 4 * edits.hiss(2, 2 * RATE)
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "loud.wav", loud.T.numpy(), RATE, subtype="FLOAT")
    graph = edits.repaint("0.5-1", node("LoadAudio", audio="loud.wav"))
    kept = kept_half_to_one(2 * RATE).numpy()
    (file,) = edits.run(tmp_path, graph, {"save.bit_depth": "32"}, recordings=tmp_path / "in").files
    samples, _ = soundfile.read(file, dtype="float32")
    assert heard == [1.0] and loud.abs().max() > 1.9
    assert (samples[kept] == loud.T.numpy()[kept]).all()
    assert np.abs(samples[24000:48000]).max() <= 1
    (file,) = edits.run(tmp_path, graph, {"save.bit_depth": "24"}, recordings=tmp_path / "in").files
    samples, _ = soundfile.read(file, dtype="float32")
    assert np.allclose(samples[kept], loud.clamp(-1, 1).T.numpy()[kept], rtol=0, atol=2**-23)


def test_a_source_of_one_second(tmp_path: Path) -> None:
    source = edits.hiss(2, RATE)
    song, new = repainted(tmp_path, edits.audio(source), "0.4-0.6", crossfade=0.1)
    assert song.shape == (2, RATE)
    assert torch.equal(song[:, :14400], source[:, :14400]) and torch.equal(song[:, 33600:], source[:, 33600:])
    assert torch.equal(song[:, 19200:28800], new[:, 19200:28800]) and not torch.equal(song, source)


def test_a_source_shorter_than_a_song_may_be_extended_to_one(tmp_path: Path) -> None:
    source = edits.hiss(2, 4800)
    song, _ = repainted(tmp_path, edits.audio(source), "-0.5-0, 0.1-1", crossfade=0.0)
    assert song.shape == (2, 24000 + 48000) and torch.equal(song[:, 24000:28800], source)
    message = r"the song would be 0.1 s long .*allowed are 1 to 600 s"
    with pytest.raises(NodeError, match=message):
        repainted(tmp_path, edits.audio(source), "0-0.1")
    with pytest.raises(NodeError, match=message):
        edits.run(tmp_path, edits.cover(SOURCE), objects={"s": edits.audio(source)})


@pytest.mark.parametrize(("rate", "samples"), [(8000, 16001), (192000, 384003), (44100, 88201), (44101, 88203)])
def test_a_source_at_another_rate(tmp_path: Path, rate: int, samples: int) -> None:
    source = edits.hiss(1 if rate == 8000 else 2, samples)
    song, _ = repainted(tmp_path, edits.audio(source, rate))
    assert song.shape == (2, -(-samples * RATE // rate))
    if rate != 44101:  # which torchaudio needs gigabytes for
        expected = resample(source, rate, RATE)[:, : song.shape[1]].expand(2, -1)
        kept = kept_half_to_one(song.shape[1])[: expected.shape[1]]
        # The last samples of torchaudio's own length see where its input ends.
        torch.testing.assert_close(song[:, :-9][:, kept[:-9]], expected[:, :-9][:, kept[:-9]], rtol=0, atol=1e-5)


def test_eight_kilohertz_mono_from_a_file(tmp_path: Path) -> None:
    edits.record(tmp_path / "in" / "phone.wav", edits.integers(1, 16000, 16), 16, 8000)
    graph = edits.repaint("0.5-1", node("LoadAudio", audio="phone.wav"))
    (file,) = edits.run(tmp_path, graph, recordings=tmp_path / "in").files
    assert edits.read(file).shape == (2 * RATE, 2)


def test_a_source_of_six_channels(tmp_path: Path) -> None:
    source = edits.hiss(6, 2 * RATE)
    song, _ = repainted(tmp_path, edits.audio(source))
    front_left, front_right, centre, _, back_left, back_right = source
    half = 0.5**0.5
    pairs = ((front_left, back_left), (front_right, back_right))
    sides = [(front + half * (centre + back)) / (1 + 2 * half) for front, back in pairs]
    kept = kept_half_to_one(2 * RATE)
    torch.testing.assert_close(song[:, kept], torch.stack(sides)[:, kept], rtol=0, atol=1e-6)


def test_recordings_lie_in_the_input_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a host of ComfyUI that is "input" where the program runs; folders inside are names with a slash."""
    source = edits.integers(2, 2 * RATE, 24)
    edits.record(tmp_path / "input" / "band" / "take 1.flac", source, 24)
    monkeypatch.chdir(tmp_path)
    graph = edits.repaint("0.5-1", node("LoadAudio", audio="band/take 1.flac"))
    (file,) = edits.run(tmp_path / "out", graph).files
    kept = kept_half_to_one(2 * RATE).numpy()
    assert (edits.read(file)[kept] == source[kept]).all()
    with pytest.raises(ValueError, match=r"'gone.wav' is not one of the choices: example, band/take 1.flac"):
        edits.run(tmp_path / "out", edits.repaint("0-1", node("LoadAudio", audio="gone.wav")))


# Ten minutes, and what is longer.


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["audio", "latent"])
def test_ten_minutes(tmp_path: Path, kind: str) -> None:
    length = 600 * RATE
    if kind == "audio":
        source = edits.hiss(2, length)
        graph, objects = edits.repaint("300-300.5", SOURCE), {"s": edits.audio(source)}
    else:
        source = torch.randn(1, 64, 15000, generator=torch.Generator().manual_seed(1))
        graph = edits.without_splice(edits.repaint("300-300.5", latent=["s", 0])) | {"s": SOURCE}
        objects = {"s": {"samples": source}}
    settings = {"schedule.steps": 1, "guider.scale": 1.0, "save.format": "flac"}
    run = edits.run(tmp_path, graph, settings, objects=objects, probes=("sample", "decode"))
    assert soundfile.info(run.files[0]).frames == length
    if kind == "latent":
        same = (run.kept["sample"]["samples"] == source).all(dim=1)[0]
        # One step of which round(0.5) = 0 holds the source, so the border fades over 12 frames.
        assert (~same).nonzero().flatten().tolist() == list(range(7500 - 12, 7513 + 12))
    else:
        song = edits.read(run.files[0])[: 299 * RATE]
        assert (song == (source.T[: 299 * RATE].double() * 2**23).round().int().numpy() << 8).all()


@pytest.mark.parametrize(
    ("source", "regions", "message"),
    [
        (edits.audio(torch.zeros(1, 601 * 8000), 8000), "300-301", r"the song would be 601 s long"),
        (edits.audio(torch.zeros(1, 599 * 8000), 8000), "599-601", r"region 599 s to 601 s lies beyond 600 s"),
        (edits.audio(torch.zeros(1, 599 * 8000), 8000), "-2-0", r"would be 601 s long \(2 s before the source, 599 s"),
    ],
)
def test_longer_than_ten_minutes(tmp_path: Path, source: dict[str, Any], regions: str, message: str) -> None:
    with pytest.raises(NodeError, match=message) as error:
        repainted(tmp_path, source, regions)
    assert "600 s" in str(error.value)


def test_a_cover_of_more_than_ten_minutes(tmp_path: Path) -> None:
    long = {"s": edits.audio(torch.zeros(1, 601 * 8000), 8000)}
    with pytest.raises(NodeError, match=r"the song would be 601 s long .*allowed are 1 to 600 s"):
        edits.run(tmp_path, edits.cover(SOURCE), objects=long)
    latent = {"s": {"samples": torch.zeros(1, 64, 15001)}}
    graph = edits.cover(latent=["s", 0]) | {"s": SOURCE}
    with pytest.raises(NodeError, match=r"the song would be 600.04 s long .*allowed are 1 to 600 s"):
        edits.run(tmp_path, graph, objects=latent)


# What is no source.


def test_nan_in_audio(tmp_path: Path) -> None:
    broken = edits.hiss(2, 2 * RATE)
    broken[0, 70000:70031], broken[1, 7] = torch.nan, torch.inf
    for graph in (edits.repaint("0.5-1", SOURCE), edits.cover(SOURCE)):
        with pytest.raises(NodeError, match=r"source audio contains 31 NaN and 1 infinite samples; export it again"):
            edits.run(tmp_path, graph, objects={"s": edits.audio(broken)})
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "broken.wav", broken.T.numpy(), RATE, subtype="FLOAT")
    with pytest.raises(NodeError, match=r"broken.wav contains 31 NaN and 1 infinite samples"):
        edits.run(tmp_path, edits.cover(node("LoadAudio", audio="broken.wav")), recordings=tmp_path / "in")


@pytest.mark.parametrize("kind", ["repaint", "cover"])
def test_nan_in_a_latent_is_the_sources_fault(tmp_path: Path, kind: str) -> None:
    samples = torch.zeros(1, 64, 100)
    samples[0, 5, 7] = torch.nan
    graph = edits.cover(latent=["s", 0])
    if kind == "repaint":
        graph = edits.without_splice(edits.repaint("1-2", latent=["s", 0]))
    with pytest.raises(NodeError, match=r"source latent .*NaN"):
        edits.run(tmp_path, graph | {"s": SOURCE}, objects={"s": {"samples": samples}})


@pytest.mark.parametrize("shape", [(1, 8, 16, 100), (1, 8, 100), (64, 100)])
def test_a_latent_of_another_model(tmp_path: Path, shape: tuple[int, ...]) -> None:
    graph = edits.cover(latent=["s", 0]) | {"s": SOURCE}
    message = re.escape(f"source latent has shape {list(shape)}, expected [songs 64 frames]")
    with pytest.raises(NodeError, match=message):
        edits.run(tmp_path, graph, objects={"s": {"samples": torch.zeros(shape)}})


@pytest.mark.parametrize("kind", ["repaint", "cover", "Tracks"])
def test_no_source(tmp_path: Path, kind: str) -> None:
    graphs = {
        "repaint": edits.repaint("0.5-1", vae=["load", 2]),
        "cover": edits.cover(vae=["load", 2]),
        "Tracks": edits.edit("lego", "Tracks", task="lego", regions="", batch_size=1),
    }
    with pytest.raises(NodeError, match="no source: connect audio, or the latent of an earlier run"):
        edits.run(tmp_path, graphs[kind])


def test_source_audio_without_the_vae(tmp_path: Path) -> None:
    for graph in (edits.repaint("0.5-1", EXAMPLE), edits.cover(EXAMPLE)):
        del graph["edit"]["inputs"]["vae"]
        with pytest.raises(NodeError, match="source audio needs the VAE: connect the loader's vae"):
            edits.run(tmp_path, graph)


@pytest.mark.parametrize("samples", [100 * FRAME + 1, 99 * FRAME])
def test_audio_and_latent_of_different_songs(tmp_path: Path, samples: int) -> None:
    graph = edits.repaint("0.5-1", SOURCE, latent=["latent", 0]) | {"latent": edits.given("latent")}
    objects = {"s": edits.audio(edits.hiss(2, samples)), "latent": {"samples": torch.zeros(1, 64, 100)}}
    frames = -(-samples // FRAME)
    with pytest.raises(
        NodeError, match=f"audio is {frames} latent frames long, the source latent 100: .* not one song"
    ):
        edits.run(tmp_path, graph, objects=objects)


def test_a_latent_that_has_not_been_sampled_is_no_source(tmp_path: Path) -> None:
    """An edit's latent that goes into the next edit without a sampler in between would be lost without a word."""
    graph = edits.cover(latent=["first", 0])
    graph |= {"source": EXAMPLE, "first": edits.repaint("2-3", EXAMPLE)["edit"]}
    with pytest.raises(NodeError, match="sampler"):
        edits.run(tmp_path, graph)


# Regions.


def test_several_regions_in_text(tmp_path: Path) -> None:
    source = edits.hiss(2, 3 * RATE)
    song, new = repainted(tmp_path, edits.audio(source), "2–2.5; 0:01-0:01.25\n2.4-end", crossfade=0.01)
    kept = torch.ones(3 * RATE, dtype=torch.bool)
    kept[48000 - 480 : 60000 + 480], kept[96000 - 480 :] = False, False
    assert torch.equal(song[:, kept], source[:, kept])
    for region in (slice(48000, 60000), slice(96000, 3 * RATE)):
        assert torch.equal(song[:, region], new[:, region])


def masked(mask: Tensor, **inputs: Any) -> tuple[edits.Graph, dict[str, Any]]:
    graph = edits.repaint("10-20", EXAMPLE, mask=["mask", 0], **inputs) | {"mask": edits.given("mask")}
    return graph, {"mask": mask}


@pytest.mark.parametrize("rows", [1, 64])
def test_a_mask_is_regions(tmp_path: Path, rows: int) -> None:
    columns = torch.zeros(1, 1, 80)
    columns[..., 10:20] = columns[..., 60:] = 1
    graph, objects = masked(columns.expand(1, rows, -1))
    by_mask = edits.run(tmp_path, graph, objects=objects, probes=("sample", "splice")).kept
    by_text = edits.run(tmp_path, edits.repaint("1-2, 6-end", EXAMPLE), probes=("sample", "splice")).kept
    assert torch.equal(by_mask["sample"]["samples"], by_text["sample"]["samples"])
    assert torch.equal(by_mask["splice"]["waveform"], by_text["splice"]["waveform"])


def test_a_mask_over_a_latent(tmp_path: Path) -> None:
    samples = torch.randn(1, 64, 150, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(1, 1, 150)
    mask[..., 20:30] = 1
    graph = edits.without_splice(edits.repaint("", latent=["s", 0], mask=["mask", 0], mode="aggressive"))
    graph |= {"s": SOURCE, "mask": edits.given("mask")}
    result = edits.latents(tmp_path, graph, objects={"s": {"samples": samples}, "mask": mask})
    assert (result != samples).any(dim=1)[0].nonzero().flatten().tolist() == list(range(20, 30))


@pytest.mark.parametrize("beside", [False, True])
def test_a_mask_over_a_latent_that_ends_inside_a_frame(tmp_path: Path, beside: bool) -> None:
    """Its columns are spread over the song, not over the frames that hold it; else its end would append samples."""
    length = 50 * FRAME + 777
    latent = {"samples": torch.zeros(1, 64, 51), LENGTH: length}
    mask = torch.zeros(1, 1, 200)
    mask[..., 100:199] = 1
    graph = edits.without_splice(edits.repaint("", latent=["s", 0], mask=["mask", 0]))
    graph |= {"s": SOURCE, "mask": edits.given("mask"), "heard": edits.given("heard")}
    if beside:
        graph["edit"]["inputs"]["audio"] = ["heard", 0]
    objects = {"s": latent, "mask": mask, "heard": edits.audio(edits.hiss(2, length))}
    (file,) = edits.run(tmp_path, graph, objects=objects).files
    assert soundfile.info(file).frames == length


def test_a_mask_painted_in_some_rows_only(tmp_path: Path) -> None:
    """A brush does not reach the first row; a column counts where it was painted anywhere."""
    mask = torch.zeros(1, 64, 80)
    mask[:, 20:40, 10:20] = 1
    graph, objects = masked(mask)
    painted = edits.latents(tmp_path, graph, objects=objects)
    assert torch.equal(painted, edits.latents(tmp_path, edits.repaint("1-2", EXAMPLE)))


@pytest.mark.parametrize(("value", "message"), [(0.4, "a mask that reaches 0.5"), (float("nan"), "80 columns are NaN")])
def test_a_mask_without_a_region(tmp_path: Path, value: float, message: str) -> None:
    graph, objects = masked(torch.full((1, 1, 80), value))
    with pytest.raises(NodeError, match=message):
        edits.run(tmp_path, graph, objects=objects)


def test_a_noise_mask_of_another_node_is_a_repaint(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """On the latent of an earlier run, in the shapes that core nodes write; outside it stays bit for bit."""
    samples = torch.randn(1, 64, 150, generator=torch.Generator().manual_seed(1))
    for shape in ((1, 1, 150), (1, 1, 1, 300), (1, 64, 150)):
        mask = torch.zeros(shape)
        mask[..., shape[-1] // 3 : shape[-1] // 2] = 1
        graph = edits.edit("repaint", "EmptyLatent", seconds=6.0, batch_size=1) | {"s": SOURCE}
        objects = {"s": {"samples": samples, "noise_mask": mask}}
        run = edits.run(tmp_path, graph, {"sample.latent": ["s", 0]}, objects=objects, probes=("sample",))
        result = run.kept["sample"]
        assert (result["samples"] != samples).any(dim=1)[0].nonzero().flatten().tolist() == list(range(50, 75))
        assert "noise_mask" not in result
    assert not any("encoded for" in record.getMessage() for record in caplog.records)


# Beside a latent there is no source. Zeros are nothing that the network was trained on; the VAE's silence is.


def test_a_run_from_below_full_noise_starts_from_silence_beside_a_latent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []
    original = Predictor.__call__

    def watch(self: Predictor, x: Tensor, t: float, *, unconditional: bool) -> Any:
        seen.append(x)
        return original(self, x, t, unconditional=unconditional)

    monkeypatch.setattr(Predictor, "__call__", watch)
    source = torch.randn(1, 64, 150, generator=torch.Generator().manual_seed(1))
    graph = edits.without_splice(edits.repaint("-2-0", latent=["s", 0])) | {"s": SOURCE}
    edits.latents(tmp_path, graph, {"schedule.custom_sigmas": "0.5, 0"}, objects={"s": {"samples": source}})
    noise, silence = draw([7], 200, 64), edits.parts()[0].silent(200)
    torch.testing.assert_close(seen[0][:, 50:], 0.5 * noise[:, 50:] + 0.5 * source.transpose(1, 2))
    torch.testing.assert_close(seen[0][0, :50], 0.5 * noise[0, :50] + 0.5 * silence[:50])


def test_a_track_sees_silence_beside_a_latent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the demo network taken for a base checkpoint."""
    contexts: list[Tensor] = []
    original = Predictor.__init__

    def watch(self: Predictor, network: Any, condition: Any, context: Tensor, *more: Any) -> None:
        contexts.append(context)
        original(self, network, condition, context, *more)

    monkeypatch.setattr(Predictor, "__init__", watch)
    monkeypatch.setattr(edits.parts()[0], "training_kind", "base")
    source = torch.randn(1, 64, 150, generator=torch.Generator().manual_seed(1))
    graph = edits.edit("lego", "Tracks", task="lego", regions="-2-0, 6-7", batch_size=1, latent=["s", 0])
    edits.latents(tmp_path, graph | {"s": SOURCE}, objects={"s": {"samples": source}})
    silence = edits.parts()[0].silent(225)
    expected = torch.cat([silence[:50], source[0].T, silence[200:]])
    assert len(contexts) == 1 and torch.equal(contexts[0][0, :, :64], expected)


def test_regions_that_do_not_fit_the_source(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match=r"region 9 s to end is empty: the source ends at 8 s"):
        edits.run(tmp_path, edits.repaint("9-end", EXAMPLE))
    with pytest.raises(NodeError, match=r"region -301 s to 0 s starts too early; allowed is -300 s or later"):
        edits.run(tmp_path, edits.repaint("-301-0", EXAMPLE))


BAD_REGIONS = [
    ("abc", r"at character 1, 'abc': there is no dash"),
    ("1-2, 5", r"at character 6, '5': there is no dash"),
    ("1-2, 4-3", r"at character 6, '4-3': .*must end after its start"),
    ("1-x", r"at character 1, '1-x': 'x' is not a time"),
]


@pytest.mark.parametrize(("text", "message"), BAD_REGIONS)
def test_bad_region_text_is_found_before_anything_runs(tmp_path: Path, text: str, message: str) -> None:
    assert re.search(message, NODE_CLASS_MAPPINGS["AceStepXLRepaint"].VALIDATE_INPUTS(regions=text))
    # Validation names the node; a ValueError, because nothing has run.
    with pytest.raises(ValueError, match=message):
        edits.run(tmp_path, edits.repaint(text, SOURCE))


@pytest.mark.parametrize(("text", "message"), BAD_REGIONS)
def test_bad_region_text_of_a_track_is_found_before_anything_runs(tmp_path: Path, text: str, message: str) -> None:
    graph = edits.edit("lego", "Tracks", task="lego", regions=text, batch_size=1, audio=["source", 0], vae=["load", 2])
    assert any(re.search(message, str(problem)) for problem in problems(graph | {"source": EXAMPLE}))


def problems(graph: edits.Graph) -> list[str]:
    table = NodeTable.shipped()
    with use(edits.InputHost(Path("unused"))):
        return [str(problem) for problem in validate(read_workflow(graph, table).graph, table)]


def test_no_region_text_needs_a_mask() -> None:
    for text in ("", "  "):
        graph = edits.repaint(text, EXAMPLE)
        assert any("region is missing" in problem for problem in problems(graph)), text
        # Any node's output will do as a mask: what it is connected to is not looked at before it runs.
        mask = edits.repaint(text, EXAMPLE, mask=["source", 0])
        assert not any("region is missing" in problem for problem in problems(mask)), text


def test_a_connected_region_text_is_checked_when_it_runs(tmp_path: Path) -> None:
    repaint = NODE_CLASS_MAPPINGS["AceStepXLRepaint"]
    assert repaint.VALIDATE_INPUTS(regions=None) is True
    graph = edits.repaint("", SOURCE) | {"typed": edits.given("typed")}
    graph["edit"]["inputs"]["regions"] = ["typed", 0]
    objects = {"s": edits.audio(edits.hiss(2, 2 * RATE)), "typed": "1-2, oops"}
    with pytest.raises(NodeError, match=r"at character 6, 'oops'"):
        edits.run(tmp_path, graph, objects=objects)

"""Recordings loaded by name, and songs written as ComfyUI writes them."""

from __future__ import annotations

import json
from pathlib import Path

import mutagen
import pytest
import torch
from audio_files import sine, write
from native_nodes import audio, call

from acestep_xl.audio.decoding import read
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.nodes.native.table import NATIVE_CLASS_MAPPINGS
from acestep_xl.runner.node_table import NodeTable

GRAPH = {
    "1": {"class_type": "EmptyAudio", "inputs": {}},
    "2": {"class_type": "SaveAudio", "inputs": {"audio": ["1", 0]}},
}


def tone(rate: int = 44100, channels: int = 2, songs: int = 1) -> dict[str, object]:
    return {"waveform": sine(rate, 0.4, channels)[None].repeat(songs, 1, 1), "sample_rate": rate}


def saved(host: HeadlessHost, shown: dict[str, dict[str, list[dict[str, str]]]]) -> list[Path]:
    folders = {"output": host.output_directory(), "temp": host.temp_directory()}
    return [folders[file["type"]] / file["subfolder"] / file["filename"] for file in shown["ui"]["audio"]]


@pytest.mark.parametrize("name", ["one.flac", "takes/one.flac", "takes\\one.flac", "one.flac [input]"])
def test_a_recording_of_the_input_folder(name: str, host: HeadlessHost) -> None:
    for path in ("one.flac", "takes/one.flac"):
        write(host.input_directory() / path, sine(22050, 0.2, 1), 22050, format="flac", bit_depth=16)
    node = NATIVE_CLASS_MAPPINGS["LoadAudio"]
    assert node.VALIDATE_INPUTS(name) is True  # pyright: ignore[reportAttributeAccessIssue]
    (loaded,) = call("LoadAudio", audio=name)
    assert loaded["sample_rate"] == 22050 and loaded["waveform"].shape == (1, 1, 4410)


def test_a_recording_that_a_run_wrote(host: HeadlessHost) -> None:
    (path,) = saved(host, call("SaveAudio", audio=tone(), filename_prefix="a/b"))
    (loaded,) = call("LoadAudio", audio=f"a/{path.name} [output]")
    torch.testing.assert_close(loaded["waveform"], tone()["waveform"], atol=2**-15, rtol=0)
    (preview,) = saved(host, call("PreviewAudio", audio=tone()))
    assert call("LoadAudio", audio=f"{preview.name} [temp]")[0]["sample_rate"] == 44100


@pytest.mark.parametrize("name", ["two.flac", "../one.flac", "/etc/passwd", "takes", ""])
def test_what_is_not_in_the_folder_is_named(name: str, host: HeadlessHost) -> None:
    write(host.input_directory() / "one.flac", sine(8000, 0.1), 8000, format="flac", bit_depth=16)
    answer = NATIVE_CLASS_MAPPINGS["LoadAudio"].VALIDATE_INPUTS(name)  # pyright: ignore[reportAttributeAccessIssue]
    assert f"no recording {name!r} in the input folder" in answer and answer.endswith("another of: one.flac")
    other = NATIVE_CLASS_MAPPINGS["LoadAudio"].VALIDATE_INPUTS("x [output]")  # pyright: ignore[reportAttributeAccessIssue]
    assert "no recording 'x' in the output folder" in other and other.endswith("put it there")
    with pytest.raises(FileNotFoundError, match="no recording"):
        call("LoadAudio", audio=name)


def test_choices_are_sounds_and_videos(host: HeadlessHost) -> None:
    for name in ("b.mp3", "a.wav", "film.mp4", "picture.png", "text.txt", "takes/c.wav"):
        (host.input_directory() / name).touch()
    spec = NodeTable(NATIVE_CLASS_MAPPINGS).spec("LoadAudio")
    assert spec is not None and spec.inputs["audio"].choices == ("a.wav", "b.mp3", "film.mp4")


def test_a_changed_file_is_read_again(host: HeadlessHost) -> None:
    node = NATIVE_CLASS_MAPPINGS["LoadAudio"]
    path = host.input_directory() / "a.wav"
    prints = []
    for content in (b"one", b"two"):
        path.write_bytes(content)
        prints.append(node.IS_CHANGED("a.wav"))  # pyright: ignore[reportAttributeAccessIssue]
    assert len(set(prints)) == 2


def test_flac_has_16_bits_and_the_graph(host: HeadlessHost) -> None:
    shown = call(
        "SaveAudio",
        audio=tone(songs=2),
        filename_prefix="day %year%/song",
        prompt=GRAPH,
        extra_pnginfo={"workflow": {"nodes": []}},
        unique_id="2",
    )
    paths = saved(host, shown)
    assert [path.name for path in paths] == ["song_00001_.flac", "song_00002_.flac"]
    file = mutagen.File(paths[0])
    assert file is not None and file.info.bits_per_sample == 16 and file.info.sample_rate == 44100
    assert json.loads(file["prompt"][0]) == GRAPH and json.loads(file["workflow"][0]) == {"nodes": []}
    waveform, _ = read(paths[1])
    torch.testing.assert_close(waveform, tone()["waveform"], atol=2**-15, rtol=0)


@pytest.mark.parametrize(
    ("quality", "rate", "kbps"), [("V0", 44100, None), ("128k", 44100, 128), ("320k", 48000, 320), ("320k", 22050, 160)]
)
def test_mp3(quality: str, rate: int, kbps: int | None, host: HeadlessHost) -> None:
    (path,) = saved(host, call("SaveAudioMP3", audio=tone(rate), filename_prefix="x", quality=quality))
    file = mutagen.File(path)
    assert file is not None and path.name == "x_00001_.mp3"
    assert str(file.info.bitrate_mode) == ("BitrateMode.VBR" if kbps is None else "BitrateMode.CBR")
    assert kbps is None or round(file.info.bitrate / 1000) == kbps


@pytest.mark.parametrize(("rate", "encoded"), [(8000, 8000), (22050, 24000), (44100, 48000), (96000, 48000)])
@pytest.mark.parametrize("quality", ["64k", "320k"])
def test_opus_takes_the_next_rate_that_it_has(quality: str, rate: int, encoded: int, host: HeadlessHost) -> None:
    shown = call("SaveAudioOpus", audio=tone(rate, 1), filename_prefix="x", quality=quality)
    (path,) = saved(host, shown)
    file = mutagen.File(path)
    assert file is not None and path.name == "x_00001_.opus" and type(file.info).__name__ == "OggOpusInfo"
    assert file.info.length == pytest.approx(0.4, abs=0.02)
    assert int.from_bytes(path.read_bytes().partition(b"OpusHead")[2][4:8], "little") == encoded


@pytest.mark.parametrize("name", ["SaveAudio", "SaveAudioMP3", "SaveAudioOpus"])
def test_a_prefix_that_cannot_be_a_name_is_refused_before_the_run(name: str, host: HeadlessHost) -> None:
    node = NATIVE_CLASS_MAPPINGS[name]
    assert node.VALIDATE_INPUTS("audio/%year%/ok") is True  # pyright: ignore[reportAttributeAccessIssue]
    assert "leaves the output folder" in node.VALIDATE_INPUTS("../x")  # pyright: ignore[reportAttributeAccessIssue]


def test_nan_is_never_a_song(host: HeadlessHost) -> None:
    with pytest.raises(ValueError, match="NaN"):
        call("SaveAudio", audio=audio(8000, float("nan")), filename_prefix="x")
    assert not list(host.output_directory().rglob("*.flac"))

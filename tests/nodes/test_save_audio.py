"""Saved songs: names, encoding, metadata and sidecars."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import graphs
import pytest
import soundfile
from delivery_samples import GRAPH, WORKFLOW, noise_audio
from mutagen.flac import FLAC
from mutagen.oggvorbis import OggVorbis

from acestep_xl.host.headless import HeadlessHost, Interrupted
from acestep_xl.nodes.delivery.encode_audio import EncodeAudio
from acestep_xl.nodes.delivery.save_encoded import SaveEncoded
from acestep_xl.nodes.save_audio import Save


def relative_paths(folder: Path) -> list[str]:
    """All files below a folder, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def flac_tags(path: Path) -> dict[str, str]:
    tags: Any = FLAC(path).tags
    return {key.lower(): value for key, value in tags}


@pytest.mark.parametrize("format", ["flac", "wav", "mp3", "ogg"])
def test_every_song_of_a_batch_is_saved(headless_host: HeadlessHost, tmp_path: Path, format: str) -> None:
    result = Save().save(noise_audio(3), "audio/song", format, "16")
    assert [entry["filename"] for entry in result["ui"]["audio"]] == [f"song_0000{n}_.{format}" for n in (1, 2, 3)]
    assert {(entry["subfolder"], entry["type"]) for entry in result["ui"]["audio"]} == {("audio", "output")}
    lengths = [len(soundfile.read(tmp_path / name)[0]) for name in relative_paths(tmp_path)]
    assert len(lengths) == 3 and all(abs(length - 4800) <= 1152 for length in lengths)


def test_a_graph_that_predates_the_options_still_saves(tmp_path: Path) -> None:
    run = graphs.run(tmp_path, {"save.format": "flac"})
    assert [path.name for path in run.files] == ["song_00001_.flac"]
    assert soundfile.info(run.files[0]).samplerate == 48000 and soundfile.info(run.files[0]).subtype == "PCM_24"


def test_the_file_has_the_requested_rate_channels_and_bitrate(headless_host: HeadlessHost, tmp_path: Path) -> None:
    Save().save(noise_audio(1, samples=96000), "song", "ogg", "24", 64, "24000", "1")
    info: Any = OggVorbis(tmp_path / "song_00001_.ogg").info
    assert (info.sample_rate, info.channels, info.bitrate) == (24000, 1, 64000)
    assert soundfile.info(tmp_path / "song_00001_.ogg").frames == 48000
    Save().save(noise_audio(1, channels=1, rate=8000), "song", "wav", "32", 0, "48000", "2")
    samples, rate = soundfile.read(tmp_path / "song_00002_.wav")
    assert (rate, samples.shape) == (48000, (6 * 4800, 2)) and (samples[:, 0] == samples[:, 1]).all()


def test_surround_is_mixed_down_if_requested(headless_host: HeadlessHost, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mp3 holds up to 2 channels, not 6"):
        Save().save(noise_audio(1, channels=6), "song", "mp3", "16")
    Save().save(noise_audio(1, channels=6), "song", "mp3", "16", channels="2")
    assert soundfile.info(tmp_path / "song_00001_.mp3").channels == 2


def test_tags_hold_title_seed_settings_and_graph(headless_host: HeadlessHost, tmp_path: Path) -> None:
    Save().save(
        noise_audio(2),
        "song",
        "flac",
        "24",
        title="Grüße",
        prompt=GRAPH,
        extra_pnginfo={"workflow": WORKFLOW},
        unique_id="4",
    )
    tags = flac_tags(tmp_path / "song_00002_.flac")
    assert (tags["title"], tags["seed"], tags["tracknumber"]) == (
        "Grüße",
        "7",
        "2/2",
    )
    assert json.loads(tags["parameters"]) == {
        "AceStepXLDecode": {"peak_db": -1.0},
        "AceStepXLSampler": {"seed": 7},
        "AceStepXLEmptyLatent": {"seconds": 2.0, "batch_size": 2},
    }
    assert json.loads(tags["prompt"]).keys() == GRAPH.keys()
    assert json.loads(tags["workflow"])["nodes"][0]["type"] == "AceStepXLUpload"


def test_the_browser_is_told_the_seed_of_each_song(headless_host: HeadlessHost) -> None:
    saved = Save().save(noise_audio(2), "song", "flac", "16", prompt=GRAPH, unique_id="4")["ui"]["audio"]
    assert [entry["seed"] for entry in saved] == ["7", "8"]
    encoded = EncodeAudio().encode(noise_audio(2), "mp3", "16", 0, "auto", "auto", "", GRAPH, unique_id="4")[0]
    saved = SaveEncoded().save(encoded, "song", False)["ui"]["audio"]
    assert [entry["seed"] for entry in saved] == ["7", "8"]
    assert "seed" not in Save().save(noise_audio(1), "song", "flac", "16")["ui"]["audio"][0]


def test_a_sidecar_describes_its_file(headless_host: HeadlessHost, tmp_path: Path) -> None:
    Save().save(
        noise_audio(1, samples=24000), "a/song", "mp3", "24", 96, sidecar=True, title="12", prompt=GRAPH, unique_id="4"
    )
    assert relative_paths(tmp_path) == ["a/song_00001_.json", "a/song_00001_.mp3"]
    sidecar = json.loads((tmp_path / "a/song_00001_.json").read_text("utf-8"))
    assert sidecar | {"prompt": None, "parameters": None} == {
        "file": "song_00001_.mp3",
        "media_type": "audio/mpeg",
        "sample_rate": 48000,
        "channels": 2,
        "seconds": 0.5,
        "bit_depth": None,
        "bitrate_kbps": 96,
        "title": "12",
        "seed": 7,
        "parameters": None,
        "prompt": None,
    }
    assert sidecar["parameters"]["AceStepXLSampler"] == {"seed": 7}
    Save().save(noise_audio(1), "a/song", "flac", "24")
    assert relative_paths(tmp_path)[-1] == "a/song_00002_.flac"


def test_metadata_can_be_disabled(headless_host: HeadlessHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headless_host, "metadata_enabled", lambda: False)
    Save().save(noise_audio(1), "song", "flac", "24", sidecar=True, title="Mine", prompt=GRAPH, unique_id="4")
    assert flac_tags(tmp_path / "song_00001_.flac").keys() <= {"title", "encoder"}
    sidecar = json.loads((tmp_path / "song_00001_.json").read_text("utf-8"))
    assert sidecar["title"] == "Mine" and not {"prompt", "seed", "parameters"} & sidecar.keys()


def test_comfyui_s_variables_in_names_are_expanded(headless_host: HeadlessHost, tmp_path: Path) -> None:
    Save().save(noise_audio(2), "%year%/%month%%day%/take%batch_num%", "wav", "16")
    folder = time.strftime("%Y/%m%d")
    assert relative_paths(tmp_path) == [f"{folder}/take0_00001_.wav", f"{folder}/take1_00001_.wav"]


def test_an_interrupt_keeps_the_songs_already_saved(headless_host: HeadlessHost, tmp_path: Path) -> None:
    checks = iter([None, None, Interrupted("stop")])

    def check() -> None:
        if error := next(checks):
            raise error

    headless_host.check_interrupted = check
    with pytest.raises(Interrupted):
        Save().save(noise_audio(3), "song", "wav", "16")
    assert relative_paths(tmp_path) == ["song_00001_.wav", "song_00002_.wav"]

"""Songs that are played and not saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import soundfile
from delivery_samples import GRAPH, noise_audio
from mutagen.flac import FLAC

from acestep_xl.host.headless import HeadlessHost
from acestep_xl.nodes.preview_audio import Preview
from acestep_xl.runner.cli import main


@pytest.fixture
def temp(headless_host: HeadlessHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    monkeypatch.setattr(headless_host, "temp_directory", lambda: folder)
    return folder


def test_every_song_is_in_the_temporary_folder(temp: Path, tmp_path: Path) -> None:
    shown = Preview().preview(noise_audio(2), prompt=GRAPH, unique_id="4")["ui"]["audio"]
    again = Preview().preview(noise_audio(1))["ui"]["audio"]
    assert [(entry["type"], entry["subfolder"]) for entry in shown + again] == [("temp", "")] * 3
    names = [entry["filename"] for entry in shown + again]
    assert names == [f"acestep_preview_0000{number}_.flac" for number in (1, 2, 3)]
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]
    assert soundfile.info(temp / names[0]).subtype == "PCM_24"
    tags: Any = FLAC(temp / names[1]).tags
    assert json.loads(tags["prompt"][0]).keys() == GRAPH.keys() and tags["seed"] == ["7"]


def test_metadata_can_be_disabled(temp: Path, headless_host: HeadlessHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headless_host, "metadata_enabled", lambda: False)
    Preview().preview(noise_audio(1), prompt=GRAPH, unique_id="4")
    tags: Any = FLAC(temp / "acestep_preview_00001_.flac").tags
    assert {key.lower() for key, _ in tags} <= {"encoder"}


def test_the_command_line_says_where_the_song_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    graph = {
        "1": {"class_type": "AceStepXLLoadAudio", "inputs": {"audio": "example"}},
        "2": {"class_type": "AceStepXLPreview", "inputs": {"audio": ["1", 0]}},
    }
    Path("listen.json").write_text(json.dumps(graph))
    assert main(["run", "listen.json"]) == 0
    told = capsys.readouterr()
    song = Path(told.out.strip())
    assert song.is_file() and soundfile.info(song).duration == pytest.approx(8)
    assert "1 of 1 files are previews in the temporary folder, which is not kept" in told.err
    assert [path.name for path in tmp_path.iterdir()] == ["listen.json"]

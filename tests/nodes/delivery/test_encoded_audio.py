"""Encoded songs, saved to files and converted to text."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from delivery_samples import encode_noise

from acestep_xl.host.headless import HeadlessHost
from acestep_xl.nodes.delivery.audio_text import AudioText
from acestep_xl.nodes.delivery.save_encoded import SaveEncoded


def test_saving_encoded_songs_writes_their_bytes(headless_host: HeadlessHost, tmp_path: Path) -> None:
    songs = encode_noise(2, "mp3", "Mine")
    result = SaveEncoded().save(songs, "song", True)
    assert [entry["filename"] for entry in result["ui"]["audio"]] == ["song_00001_.mp3", "song_00002_.mp3"]
    assert [(tmp_path / f"song_0000{n}_.mp3").read_bytes() for n in (1, 2)] == [song.data for song in songs]
    assert json.loads((tmp_path / "song_00002_.json").read_text())["title"] == "Mine"


def test_the_text_is_one_line_per_song_with_its_file(headless_host: HeadlessHost) -> None:
    songs = encode_noise(3, "ogg")
    for form, prefix in (("base64", ""), ("data URI", "data:audio/ogg;base64,")):
        lines = AudioText().convert(songs, form)[0].split("\n")
        assert all(line.startswith(prefix) for line in lines)
        assert [base64.b64decode(line[len(prefix) :], validate=True) for line in lines] == [song.data for song in songs]

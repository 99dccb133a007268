"""Load Audio: the part of a recording that is used, checked before the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import edit_graphs as edits
import pytest
import torch
from edit_graphs import RATE, node

from acestep_xl.host import use
from acestep_xl.host.headless import HeadlessHost
from acestep_xl.nodes.load_audio import LoadAudio, example


@pytest.fixture
def recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HeadlessHost:
    """A host whose input folder has one recording of two seconds at 44.1 kHz."""
    host = HeadlessHost([], tmp_path / "out")
    monkeypatch.setattr(host, "input_directory", lambda: tmp_path)
    edits.write_integers(tmp_path / "band.wav", edits.random_integers(2, 2 * 44100, 16), 16, 44100)
    return host


def check(host: HeadlessHost, *values: Any) -> bool | str:
    with use(host):
        return LoadAudio.VALIDATE_INPUTS(*values)


def test_a_part_is_loaded_sample_for_sample(recordings: HeadlessHost) -> None:
    with use(recordings):
        whole, part = LoadAudio().load("band.wav")[0], LoadAudio().load("band.wav", 0.5, 1.25)[0]
    assert part["sample_rate"] == 44100
    assert torch.equal(part["waveform"], whole["waveform"][..., 22050:55125])


def test_the_part_of_the_example(recordings: HeadlessHost) -> None:
    with use(recordings):
        part = LoadAudio().load("example", 2.0)[0]
    assert torch.equal(part["waveform"], example()[..., 2 * RATE :])


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (("band.wav",), None),
        (("band.wav", 0.0, 0.0), None),
        (("band.wav", 0.5, 2.0), None),
        (("example", 7.5, 8.0), None),
        ((None, 0.5, 100.0), None),
        (("band.wav", None, 1.0), None),
        (("band.wav", 1.0, None), None),
        (("band.wav", 2.0, 0.0), "start is 2 s, but the recording is 2.00 s long"),
        (("band.wav", 0.0, 30.0), "end is 30 s, but the recording is 2.00 s long"),
        (("example", 8.0, 0.0), "start is 8 s, but the recording is 8.00 s long"),
        (("band.wav", 1.5, 1.0), "set end after start"),
        ((None, 1.5, 1.0), "set end after start"),
        (("band.wav", -1.0, 0.0), "start is -1, allowed: 0 to 86400 seconds"),
        (("band.wav", 0.0, float("nan")), "end is nan, allowed: 0 to 86400 seconds"),
        (("gone.wav", 0.0, 1.0), "'gone.wav' is not one of the choices: example, band.wav"),
    ],
)
def test_a_part_is_checked_before_the_run(recordings: HeadlessHost, values: Any, problem: str | None) -> None:
    result = check(recordings, *values)
    assert result is True if problem is None else problem in str(result)


def test_an_unreadable_recording_is_left_to_the_run(recordings: HeadlessHost) -> None:
    (recordings.input_directory() / "broken.wav").write_text("no sound")
    assert check(recordings, "broken.wav", 1.0, 2.0) is True


def test_a_cover_of_a_part_has_its_length(tmp_path: Path) -> None:
    source = node("LoadAudio", audio="example", start=1.0, end=3.5)
    (file,) = edits.run(tmp_path, edits.cover(source)).files
    assert edits.read_integers(file).shape[0] == 2.5 * RATE
    with pytest.raises(ValueError, match=r"start is 9 s, but the recording is 8\.00 s long"):
        edits.run(tmp_path, edits.cover(node("LoadAudio", audio="example", start=9.0)))

"""Encoding settings, checked before the run."""

from __future__ import annotations

from typing import Any

import pytest

from acestep_xl.audio import vorbis
from acestep_xl.nodes.delivery.encode_audio import EncodeAudio
from acestep_xl.nodes.save_audio import Save
from acestep_xl.pipeline import output


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (("ogg", "16", 0, "auto", "auto"), None),
        (("mp3", "24", 320, "auto", "auto"), None),
        (("wav", "32", 0, "8000", "1"), None),
        (("ogg", "16", 224, "48000", "1"), None),
        ((None, "16", 0, "auto", "auto"), None),
        (("flac", None, None, None, None), None),
        (("mp3", "16", None, None, None), None),
        # Valid for some sample rate and number of channels.
        (("mp3", "16", 24, "auto", "auto"), None),
        (("ogg", "16", 40, "48000", "auto"), None),
        (("mp3", "16", 24, "48000", "auto"), "mp3 at 48000 Hz with 2 channels takes 32 to 320 kbps, not 24"),
        (("ogg", "16", 256, "48000", "1"), "ogg at 48000 Hz with 1 channel takes 32 to 224 kbps, not 256"),
        (("ogg", "16", 0, "44100", "auto"), "ogg holds 8000, 12000, 16000, 24000, 48000 Hz, not 44100"),
        (("flac", "24", 128, "auto", "auto"), "flac is lossless and has no bitrate"),
        (("flac", "32", 0, "auto", "auto"), "flac holds 16, 24 bits per sample, not 32"),
        (("mp3", "16", 321, "auto", "auto"), "not 321"),
        (("aiff", "16", 0, "auto", "auto"), "format is 'aiff', allowed: flac, wav, mp3, ogg"),
        (("flac", "8", 0, "auto", "3"), "bit_depth is '8', allowed: 16, 24, 32; channels is '3', allowed: auto, 1, 2"),
        (("flac", "16", 0, "1000", "auto"), "sample_rate is '1000'"),
    ],
)
def test_invalid_settings_are_reported_before_the_run(values: tuple[Any, ...], problem: str | None) -> None:
    for node in (Save, EncodeAudio):
        result = node.VALIDATE_INPUTS(*values)
        assert result is True if problem is None else problem in str(result)


def test_a_missing_ogg_encoder_is_reported_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise vorbis.MissingEncoder("install one")

    monkeypatch.setattr(output.vorbis, "route", fail)
    assert Save.VALIDATE_INPUTS("ogg", "16") == "install one"
    assert Save.VALIDATE_INPUTS("flac", "16") is True

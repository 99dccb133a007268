"""The limits of each format, checked before anything is encoded or written."""

from __future__ import annotations

import math

import pytest
import torch
from audio_files import write
from encoded_audio import encode_bytes
from folders import file_names

from acestep_xl import parameters
from acestep_xl.audio import formats


def test_media_types_are_the_registered_ones() -> None:
    media_types = {name: target.media_type for name, target in formats.FORMATS.items()}
    assert media_types == {"flac": "audio/flac", "wav": "audio/wav", "mp3": "audio/mpeg", "ogg": "audio/ogg"}


@pytest.mark.parametrize(("bits", "channels", "minutes"), [(16, 2, 380), (24, 2, 253), (32, 2, 190), (32, 8, 47.5)])
def test_a_wav_beyond_four_gib_is_refused_before_it_is_encoded(bits: int, channels: int, minutes: float) -> None:
    samples = int(minutes * 60 * 48000)
    endless = torch.zeros(1, 1).expand(channels, samples)
    with pytest.raises(ValueError, match=r"wav holds at most 4 GiB, not 4\.\d*: use flac"):
        encode_bytes(endless, 48000, format="wav", bit_depth=bits)
    shorter = int(samples * 0.98)
    assert formats.size_problems("wav", channels, shorter, bits, {}) == []
    assert formats.size_problems("flac", channels, samples, bits, {}) == []
    assert formats.size_problems("wav", channels, shorter, bits, {"workflow": "x" * 10_000_000}) != []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "aiff"}, "unknown audio format 'aiff'; known: flac, wav, mp3, ogg"),
        ({"format": "flac", "bit_depth": 32}, "flac holds 16, 24 bits per sample, not 32"),
        ({"format": "wav", "bit_depth": 8}, "wav holds 16, 24, 32 bits per sample, not 8"),
        ({"format": "wav", "bitrate_kbps": 320}, "wav is lossless and has no bitrate"),
        ({"format": "mp3", "sample_rate": 96000}, "mp3 holds 8000, 11025, .* 48000 Hz, not 96000"),
        ({"format": "mp3", "bitrate_kbps": 321}, "mp3 at 48000 Hz with 2 channels takes 32 to 320 kbps, not 321"),
        ({"format": "mp3", "bitrate_kbps": 31}, "32 to 320"),
        ({"format": "mp3", "sample_rate": 16000, "bitrate_kbps": 161}, "8 to 160"),
        ({"format": "mp3", "sample_rate": 8000, "bitrate_kbps": 65}, "8 to 64"),
        ({"format": "mp3", "waveform": torch.zeros(6, 10)}, "mp3 holds up to 2 channels, not 6"),
        ({"format": "flac", "waveform": torch.zeros(9, 10)}, "flac holds up to 8 channels, not 9"),
        ({"waveform": torch.zeros(1, 2, 10)}, r"\[channels, samples\]; got the shape \[1, 2, 10\]"),
        ({"waveform": torch.zeros(0, 10)}, "at least one channel"),
        ({"waveform": torch.zeros(2, 0)}, "no samples"),
        ({"waveform": torch.tensor([[0.0, math.nan]])}, "1 NaN sample"),
        ({"sample_rate": 0}, "sample_rate 0"),
    ],
)
def test_limits_of_a_format_are_checked_before_anything_is_written(tmp_path, options, message):
    arguments = {"waveform": torch.zeros(2, 10), "sample_rate": 48000, "format": "flac", "bit_depth": 16} | options
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "new" / "song", arguments.pop("waveform"), arguments.pop("sample_rate"), **arguments)
    assert file_names(tmp_path) == []


def test_all_problems_are_reported_at_once(tmp_path):
    with pytest.raises(ValueError) as caught:
        write(tmp_path / "x", torch.zeros(6, 9), 96000, format="mp3", bit_depth=16, metadata={"a=": ""})
    assert all(word in str(caught.value) for word in ("6", "96000", "'a='"))


def test_formats_and_depths_match_the_parameters():
    assert set(formats.FORMATS) == set(parameters.get("audio_format").choices)
    depths = {depth for target in formats.FORMATS.values() for depth in target.encoders if depth is not None}
    assert depths == {int(choice) for choice in parameters.get("bit_depth").choices}

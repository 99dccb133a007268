"""Writing audio files and naming them."""

from __future__ import annotations

import json
import math
import re
import struct
import sys

import av
import numpy as np
import pytest
import soundfile
import torch
from audio_files import noise, sine, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acestep_xl import parameters
from acestep_xl.audio import encoding, files, formats
from acestep_xl.audio.decoding import read
from acestep_xl.audio.files import numbered_path

LOSSLESS = [("wav", 16), ("wav", 24), ("wav", 32), ("flac", 16), ("flac", 24)]
SUBTYPES = {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}
METADATA = {"prompt": '{"1": {"inputs": {"text": "na\\u00efve"}}}', "workflow": '{"nodes": []}', "title": "Grüße 東京"}


def tags(path) -> dict[str, str]:
    with av.open(str(path)) as container:
        # FFmpeg gives an OGG's tags to its stream.
        return {**container.metadata, **container.streams.audio[0].metadata}


def folder_names(folder) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


# Writing, read back by libsndfile


@pytest.mark.parametrize(("format", "bits"), LOSSLESS)
@pytest.mark.parametrize("channels", [1, 2, 6, 8])
def test_lossless_files_hold_exactly_the_rounded_samples(tmp_path, format, bits, channels):
    samples = noise(channels, encoding.BLOCK + 4801)
    path = write(tmp_path / f"song.{format}", torch.from_numpy(samples), 48000, format=format, bit_depth=bits)
    info = soundfile.info(path)
    assert (info.format, info.subtype) in [(format.upper(), SUBTYPES[bits]), ("WAVEX", SUBTYPES[bits])]
    assert (info.samplerate, info.channels, info.frames) == (48000, channels, samples.shape[1])
    if bits == 32:
        assert np.array_equal(soundfile.read(path, dtype="float32", always_2d=True)[0].T, samples)
        return
    full = 2 ** (bits - 1)
    expected = np.clip(np.rint(samples.astype(np.float64) * full), -full, full - 1).astype(np.int64)
    decoded = soundfile.read(path, dtype="int32", always_2d=True)[0].T >> (32 - bits)
    assert np.array_equal(decoded, expected)


@pytest.mark.parametrize(("format", "bits"), LOSSLESS)
def test_lossless_files_round_trip(tmp_path, format, bits):
    samples = torch.from_numpy(noise(2, 5000))
    path = write(tmp_path / "song", samples, 44100, format=format, bit_depth=bits)
    waveform, rate = read(path)
    assert (waveform.shape, waveform.dtype, rate) == ((1, 2, 5000), torch.float32, 44100)
    step = 0 if bits != 16 else 2**-16  # half a 16-bit step
    assert (waveform[0] - samples)[:, 1:].abs().max() <= step
    assert torch.equal(read(write(tmp_path / "again", waveform[0], rate, format=format, bit_depth=bits))[0], waveform)


@pytest.mark.parametrize(("format", "bits"), [case for case in LOSSLESS if case[1] != 32])
def test_samples_above_full_scale_are_clipped(tmp_path, format, bits):
    square = torch.tensor([1.0, -1.0, 1.5, -1.5, 1e30, -1e30]).repeat_interleave(100).expand(2, -1)
    path = write(tmp_path / "square", square, 48000, format=format, bit_depth=bits)
    decoded = soundfile.read(path, dtype="int32")[0][:, 0] >> (32 - bits)
    top = 2 ** (bits - 1) - 1
    assert np.array_equal(np.unique(decoded[square[0] > 0]), [top])
    assert np.array_equal(np.unique(decoded[square[0] < 0]), [-top - 1])


def test_float_wav_keeps_values_above_full_scale(tmp_path):
    samples = torch.tensor([[2.5, -3.0, 1e-30, 0.1]])
    path = write(tmp_path / "hot.wav", samples, 48000, format="wav", bit_depth=32)
    assert torch.equal(read(path)[0][0], samples)


def test_an_mp3_square_wave_does_not_wrap(tmp_path):
    square = torch.sign(sine(48000, 1.0, 2, 100.0)) * 3.0
    decoded = read(write(tmp_path / "square.mp3", square, 48000, format="mp3", bit_depth=16))[0][0]
    inner = slice(2000, -2000)
    assert (decoded * square)[:, inner].min() > -0.5  # the sign survives everywhere but at the edges
    assert decoded[:, inner].abs().max() < 1.5


@pytest.mark.parametrize("rate", [48000, 44100, 22050, 8000])
@pytest.mark.parametrize("channels", [1, 2])
def test_mp3_keeps_the_length_and_the_sound(tmp_path, rate, channels):
    samples = sine(rate, 2.0, channels)
    path = write(tmp_path / "song.mp3", samples, rate, format="mp3", bit_depth=24)
    decoded, read_rate = soundfile.read(path, dtype="float32", always_2d=True)
    assert (read_rate, decoded.shape[1]) == (rate, channels)
    assert abs(len(decoded) - samples.shape[1]) <= 1152
    waveform, waveform_rate = read(path)
    assert (waveform_rate, waveform.shape) == (rate, (1, *samples.shape))
    for channel, original in zip(waveform[0].numpy(), samples.numpy(), strict=True):
        assert np.corrcoef(channel, original)[0, 1] > 0.99


@pytest.mark.parametrize(
    ("rate", "requested", "expected"),
    [(48000, None, 320), (44100, None, 320), (22050, None, 160), (8000, None, 64), (48000, 128, 128), (8000, 8, 8)],
)
def test_mp3_has_a_constant_bitrate_the_highest_by_default(tmp_path, rate, requested, expected):
    samples = torch.from_numpy(noise(2, rate * 3)) * 0.3
    path = write(tmp_path / "song.mp3", samples, rate, format="mp3", bit_depth=16, bitrate_kbps=requested)
    kbps = path.stat().st_size * 8 / 3 / 1000
    assert kbps == pytest.approx(expected, rel=0.1, abs=2)
    with av.open(str(path)) as container:
        sizes = [packet.size for packet in container.demux(audio=0) if packet.size]
        assert container.streams.audio[0].bit_rate == expected * 1000
    assert max(sizes) - min(sizes) <= 1  # padding is one byte


# Metadata


@pytest.mark.parametrize(("format", "bits"), [("flac", 24), ("flac", 16), ("mp3", 16), ("ogg", 16)])
def test_flac_mp3_and_ogg_keep_tags_of_any_name(tmp_path, format, bits):
    path = write(tmp_path / "song", sine(48000, 0.1), 48000, format=format, bit_depth=bits, metadata=METADATA)
    assert METADATA.items() <= tags(path).items()


def test_flac_tags_are_where_comfyui_looks_for_a_workflow(tmp_path):
    path = write(tmp_path / "song.flac", sine(48000, 0.1), 48000, format="flac", bit_depth=24, metadata=METADATA)
    start = path.read_bytes()
    for name in ("prompt", "workflow"):
        entry = f"{name}={METADATA[name]}".encode()
        assert struct.pack("<I", len(entry)) + entry in start


def test_wav_carries_all_tags_as_json_in_its_comment(tmp_path):
    metadata = METADATA | {"comment": "mine"}
    path = write(tmp_path / "song.wav", sine(48000, 0.1), 48000, format="wav", bit_depth=16, metadata=metadata)
    assert json.loads(tags(path)["comment"]) == metadata
    assert tags(path)["title"] == METADATA["title"]
    assert json.loads(soundfile.SoundFile(path).comment) == metadata


@pytest.mark.parametrize("format", list(formats.FORMATS))
def test_without_metadata_there_are_no_tags(tmp_path, format):
    path = write(tmp_path / "song", sine(48000, 0.1), 48000, format=format, bit_depth=16)
    assert set(tags(path)) <= {"encoder"}


@pytest.mark.parametrize("format", list(formats.FORMATS))
def test_a_large_workflow_fits(tmp_path, format):
    large = {"workflow": json.dumps({"text": "x" * 1_000_000})}
    path = write(tmp_path / "song", sine(48000, 0.1), 48000, format=format, bit_depth=16, metadata=large)
    stored = tags(path)
    assert (json.loads(stored["comment"]) if format == "wav" else stored)["workflow"] == large["workflow"]


@pytest.mark.parametrize("bad", [{"a=b": "x"}, {"": "x"}, {"naïve": "x"}, {"title": "a\0b"}])
def test_tags_that_would_be_truncated_are_rejected(tmp_path, bad):
    with pytest.raises(ValueError, match="tag"):
        write(tmp_path / "song.flac", sine(48000, 0.1), 48000, format="flac", bit_depth=16, metadata=bad)
    assert folder_names(tmp_path) == []


# Limits of the formats


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
    assert folder_names(tmp_path) == []


def test_all_problems_are_reported_at_once(tmp_path):
    with pytest.raises(ValueError) as caught:
        write(tmp_path / "x", torch.zeros(6, 9), 96000, format="mp3", bit_depth=16, metadata={"a=": ""})
    assert all(word in str(caught.value) for word in ("6", "96000", "'a='"))


def test_formats_and_depths_match_the_parameters():
    assert set(formats.FORMATS) == set(parameters.get("audio_format").choices)
    depths = {depth for target in formats.FORMATS.values() for depth in target.encoders if depth is not None}
    assert depths == {int(choice) for choice in parameters.get("bit_depth").choices}


# Complete files or none


def test_folders_are_created_and_an_existing_file_is_replaced(tmp_path):
    path = tmp_path / "a" / "b" / "song.wav"
    write(path, torch.zeros(1, 10), 48000, format="wav", bit_depth=16)
    assert write(path, torch.ones(1, 20), 48000, format="wav", bit_depth=16) == path
    assert read(path)[0].shape == (1, 1, 20)
    assert folder_names(path.parent) == ["song.wav"]


@pytest.mark.skipif(sys.platform == "win32", reason="resource is POSIX")
@pytest.mark.parametrize("format", list(formats.FORMATS))
def test_a_full_disk_leaves_no_file_and_keeps_the_old_one(tmp_path, format):
    import resource

    path = tmp_path / "song"
    path.write_bytes(b"the old song")
    samples = torch.from_numpy(noise(2, 480_000))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write(path, samples, 48000, format=format, bit_depth=16)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert folder_names(tmp_path) == ["song"]
    assert path.read_bytes() == b"the old song"


@pytest.mark.parametrize("error", [RuntimeError("encoder died"), KeyboardInterrupt()])
@pytest.mark.parametrize("function", ["_frames", "os.replace"])
def test_an_interruption_leaves_nothing(tmp_path, monkeypatch, error, function):
    frames = encoding._frames

    def first_frame_only(*arguments):
        yield next(frames(*arguments))
        raise error

    def interrupted_replace(*_):
        assert [name for name in folder_names(tmp_path) if name.endswith(".part")]
        raise error

    if function == "_frames":
        monkeypatch.setattr(encoding, "_frames", first_frame_only)
    else:
        monkeypatch.setattr(files.os, "replace", interrupted_replace)
    with pytest.raises(type(error)):
        write(tmp_path / "song.flac", torch.from_numpy(noise(2, 200_000)), 48000, format="flac", bit_depth=24)
    assert folder_names(tmp_path) == []


def test_the_file_appears_under_its_name_only_when_complete(tmp_path, monkeypatch):
    shapes = []
    replace = files.os.replace
    monkeypatch.setattr(files.os, "replace", lambda old, new: (shapes.append(read(old)[0].shape), replace(old, new)))
    write(tmp_path / "song.flac", torch.zeros(2, 5000), 48000, format="flac", bit_depth=24)
    assert shapes == [(1, 2, 5000)]


def test_the_input_is_not_modified(tmp_path):
    samples = torch.full((2, 100), 1.7, requires_grad=True)
    for format in formats.FORMATS:
        write(tmp_path / "song", samples, 48000, format=format, bit_depth=16)
    assert torch.equal(samples.detach(), torch.full((2, 100), 1.7))


# Names


def test_numbers_start_at_one_and_follow_the_highest(tmp_path):
    assert numbered_path(tmp_path, "audio/song", "flac") == tmp_path / "audio" / "song_00001_.flac"
    (tmp_path / "audio").mkdir()
    for taken in ("song_00003_.mp3", "song_00007_.wav", "song_x_.flac", "songs_00050_.flac", "song_00060.flac"):
        (tmp_path / "audio" / taken).touch()
    assert numbered_path(tmp_path, "audio/song", "flac") == tmp_path / "audio" / "song_00008_.flac"
    assert numbered_path(tmp_path, "audio\\song", "flac") == tmp_path / "audio" / "song_00008_.flac"
    (tmp_path / "audio" / "song_123456_.flac").touch()
    assert numbered_path(tmp_path, "audio/song", "flac").name == "song_123457_.flac"


def test_special_characters_of_patterns_are_literal_in_names(tmp_path):
    (tmp_path / "a+(b)_00004_.flac").touch()
    (tmp_path / "aab_00009_.flac").touch()
    assert numbered_path(tmp_path, "a+(b)", "flac").name == "a+(b)_00005_.flac"


@pytest.mark.parametrize(
    "prefix",
    [
        "../song",
        "a/../../song",
        "a\\..\\..\\song",
        "..",
        "/etc/song",
        "\\song",
        "C:song",
        "C:\\song",
        "//host/share/song",
    ],
)
def test_prefixes_that_leave_the_folder_are_rejected(tmp_path, prefix):
    with pytest.raises(ValueError, match=re.escape(repr(prefix)) + " leaves the output folder"):
        numbered_path(tmp_path, prefix, "flac")


@pytest.mark.parametrize(
    ("prefix", "message"), [("", "no name"), (".", "no name"), ("audio/", "no name"), ("a\\", "no name")]
)
def test_prefixes_without_a_name_are_rejected(tmp_path, prefix, message):
    with pytest.raises(ValueError, match=message):
        numbered_path(tmp_path, prefix, "flac")


@pytest.mark.parametrize("prefix", ["so:ng", "a\nb", "a\0b", "what?", "%date:yyyy%"])
def test_prefixes_that_are_invalid_on_some_system_are_rejected(tmp_path, prefix):
    with pytest.raises(ValueError, match="not every system"):
        numbered_path(tmp_path, prefix, "flac")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text("ab./\\:C~ \0", max_size=12))
def test_no_prefix_ever_leaves_the_folder(tmp_path, prefix):
    try:
        path = numbered_path(tmp_path, prefix, "flac")
    except ValueError:
        return
    assert path.resolve().is_relative_to(tmp_path.resolve())
    assert ".." not in path.parts

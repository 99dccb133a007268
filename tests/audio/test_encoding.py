"""Encoded songs hold the samples that were encoded, to the accuracy of their format."""

from __future__ import annotations

import base64
import io
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from audio_files import noise, sine, write
from av.error import FFmpegError
from encoded_audio import TAGS, encode_bytes, uniform_noise
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_xl.audio import encoding, formats
from acestep_xl.audio.decoding import read
from acestep_xl.audio.encoding import EncodedAudio, encode


@pytest.mark.parametrize("name", ["mp3", "ogg"])
def test_lossy_formats_clip_samples_above_full_scale(name: str) -> None:
    square = torch.sign(sine(48000, 1, 2)) * 1e6
    decoded = soundfile.read(io.BytesIO(encode_bytes(square, 48000, format=name, bit_depth=16)))[0].T
    assert (decoded * square.sign().numpy())[:, 2000:-2000].min() > -0.5
    assert np.abs(decoded).max() < 2


@pytest.mark.parametrize("name", list(formats.FORMATS))
def test_silence_can_be_encoded(name: str) -> None:
    decoded = soundfile.read(io.BytesIO(encode_bytes(torch.zeros(2, 48000), 48000, format=name, bit_depth=16)))[0]
    assert np.abs(decoded).max() < 1e-4 and abs(len(decoded) - 48000) <= 1152


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from([("wav", 16), ("wav", 24), ("wav", 32), ("flac", 16), ("flac", 24)]),
    st.integers(1, 8),
    st.integers(1, 3000),
    st.sampled_from([8000, 44100, 48000, 96000]),
    st.integers(0, 2**31),
)
def test_lossless_formats_lose_nothing(
    kind: tuple[str, int], channels: int, samples: int, rate: int, seed: int
) -> None:
    name, bits = kind
    source = uniform_noise(channels, samples, 1.0, seed)
    decoded, decoded_rate = soundfile.read(
        io.BytesIO(encode_bytes(source, rate, format=name, bit_depth=bits)), dtype="float64", always_2d=True
    )
    full_scale = 2.0 ** (bits - 1)
    exact = source.double().numpy().T
    expected = exact if bits == 32 else np.clip(np.rint(exact * full_scale), -full_scale, full_scale - 1) / full_scale
    assert decoded_rate == rate and np.array_equal(decoded, expected)


@pytest.mark.parametrize("name", list(formats.FORMATS))
def test_encoding_is_deterministic_except_for_an_ogg_s_serial_number(name: str) -> None:
    first, second = (
        encode_bytes(uniform_noise(2, 5000), 48000, format=name, bit_depth=16, metadata=TAGS) for _ in range(2)
    )
    assert len(first) == len(second) if name == "ogg" else first == second


MEMORY = """
import resource, sys, torch
from acestep_xl.audio.encoding import encode
song = torch.empty(2, 600 * 48000).uniform_(-0.3, 0.3)
encode(song[:, :48000], 48000, format=sys.argv[1], bit_depth=16)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
encode(song, 48000, format=sys.argv[1], bit_depth=16)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / (song.numel() * 4))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss counts differently elsewhere")
@pytest.mark.parametrize("name", ["wav", "flac"])
def test_ten_minutes_take_little_more_memory_than_the_file(name: str) -> None:
    process = subprocess.run([sys.executable, "-c", MEMORY, name], capture_output=True, text=True, check=True)
    assert float(process.stdout) < 0.8, "half of the float samples for the file, some for its growth"


def test_an_encoded_song_describes_itself() -> None:
    song = encode(uniform_noise(1, 12000), 24000, format="mp3", bit_depth=16, bitrate_kbps=64, metadata={"title": "a"})
    assert (song.media_type, song.seconds, song.samples, song.channels) == ("audio/mpeg", 0.5, 12000, 1)
    assert (song.bit_depth, song.bitrate_kbps, song.metadata) == (None, 64, {"title": "a"})
    head, _, body = song.data_uri().partition(",")
    assert head == "data:audio/mpeg;base64" and base64.b64decode(body, validate=True) == song.data
    assert song.base64() == body
    assert "\\x" not in repr(song), "the bytes of a song do not belong in a log"
    lossless = encode(uniform_noise(1, 100), 24000, format="flac", bit_depth=24)
    assert (lossless.bit_depth, lossless.bitrate_kbps) == (24, None)
    assert isinstance(song, EncodedAudio)


def test_errors_are_never_ffmpeg_s_own() -> None:
    for name in formats.FORMATS:
        for channels in (0, 1, 2, 3, 9):
            try:
                encode_bytes(torch.zeros(channels, 10), 48000, format=name, bit_depth=16)
            except FFmpegError as error:
                pytest.fail(f"{name} with {channels} channels: {error}")
            except ValueError as error:
                assert "channel" in str(error)


LOSSLESS = [("wav", 16), ("wav", 24), ("wav", 32), ("flac", 16), ("flac", 24)]
SUBTYPES = {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}


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


def test_the_input_is_not_modified(tmp_path):
    samples = torch.full((2, 100), 1.7, requires_grad=True)
    for format in formats.FORMATS:
        write(tmp_path / f"song.{format}", samples, 48000, format=format, bit_depth=16)
    assert torch.equal(samples.detach(), torch.full((2, 100), 1.7))

"""Encoding songs: the bitrate tables of the API page, both routes to OGG, tags, sizes."""

from __future__ import annotations

import base64
import io
import json
import stat
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import mutagen
import numpy as np
import pytest
import soundfile
import torch
from audio_files import sine
from av.error import FFmpegError
from hypothesis import given, settings
from hypothesis import strategies as st
from mutagen.flac import FLAC
from mutagen.id3 import ID3
from mutagen.oggvorbis import OggVorbis

from acestep_xl.audio import formats, vorbis
from acestep_xl.audio.decoding import read
from acestep_xl.audio.encoding import EncodedAudio, encode
from acestep_xl.audio.resample import to_channels

# The API page's tables, row by row: (format, channels, Hz, lowest kbps, highest kbps).
MP3_ROWS = [
    ("mp3", channels, rate, low, high)
    for channels in (1, 2)
    for rate, low, high in (
        (8000, 8, 64),
        (11025, 8, 64),
        (12000, 8, 64),
        (16000, 8, 160),
        (22050, 8, 160),
        (24000, 8, 160),
        (32000, 32, 320),
        (44100, 32, 320),
        (48000, 32, 320),
    )
]
OGG_ROWS = [
    ("ogg", 1, 8000, 8, 40),
    ("ogg", 1, 12000, 16, 48),
    ("ogg", 1, 16000, 16, 96),
    ("ogg", 1, 24000, 16, 80),
    ("ogg", 1, 48000, 32, 224),
    ("ogg", 2, 8000, 16, 80),
    ("ogg", 2, 12000, 16, 96),
    ("ogg", 2, 16000, 24, 192),
    ("ogg", 2, 24000, 32, 160),
    ("ogg", 2, 48000, 48, 256),
]
ROWS = MP3_ROWS + OGG_ROWS
RANGES = {(name, channels, rate): (low, high) for name, channels, rate, low, high in ROWS}
# Layer 3 of MPEG-1 from 32 kHz on, of MPEG-2 and 2.5 below (ISO 11172-3 and 13818-3).
STEPS = {
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (*range(8, 65, 8), *range(80, 161, 16)),
}
CODECS = {"mp3": {"mp3", "mp3float"}, "ogg": {"vorbis"}, "flac": {"flac"}, "wav": {"pcm_s16le"}}
TAGS = {
    "title": "Grüße 東京",
    "seed": "18446744073709551615",
    "parameters": '{"a=b": "x;y#z\\\\"}',
    "prompt": '{"1": {"inputs": {"text": "line\\nline"}}}',
    "workflow": '{"nodes": []}',
    "Own Name!": "yes",
    "[STREAM]": "[CHAPTER]",
}
ROUTES = ["PyAV", "program"] if vorbis.in_pyav() else ["program"]


@pytest.fixture(params=ROUTES)
def route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every way to encode OGG that this machine has."""
    monkeypatch.setattr(vorbis, "in_pyav", lambda: request.param == "PyAV")
    return request.param


def encode_bytes(waveform: torch.Tensor, sample_rate: int, **options: Any) -> bytes:
    return encode(waveform, sample_rate, **options).data


def noise(channels: int, samples: int, peak: float = 0.2, seed: int = 0) -> torch.Tensor:
    return (torch.rand(channels, samples, generator=torch.Generator().manual_seed(seed)) * 2 - 1) * peak


def measured(data: bytes, seconds: float) -> tuple[str, int, int, float]:
    """(codec, Hz, channels, kbps of the packets without headers) of a file, according to FFmpeg."""
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.audio[0]
        size = sum(packet.size for packet in container.demux(stream))
        return (
            stream.codec_context.name,
            stream.codec_context.sample_rate,
            stream.codec_context.channels,
            size / seconds / 125,
        )


def check_row(name: str, channels: int, rate: int, kbps: int) -> None:
    # MP3 has its bitrate in every frame; Vorbis over some seconds.
    samples = 80_000 if name == "mp3" else 100_000 if rate > 8000 else 200_000
    song = encode(noise(channels, samples), rate, format=name, bit_depth=16, bitrate_kbps=kbps)
    codec, file_rate, file_channels, file_kbps = measured(song.data, samples / rate)
    assert codec in CODECS[name] and (file_rate, file_channels) == (rate, channels)
    assert (song.sample_rate, song.channels, song.bitrate_kbps) == (rate, channels, kbps)
    if name == "ogg":
        assert file_kbps == pytest.approx(kbps, rel=0.1)
    else:
        steps = STEPS[rate >= 32000]
        nearest = min(abs(step - kbps) for step in steps)
        assert any(file_kbps == pytest.approx(step, rel=0.05) for step in steps if abs(step - kbps) == nearest)


# The tables


@pytest.mark.parametrize(("name", "channels", "rate", "low", "high"), MP3_ROWS)
def test_every_row_of_mp3_is_encoded(name: str, channels: int, rate: int, low: int, high: int) -> None:
    for kbps in (low, (low + high) // 2, high):
        check_row(name, channels, rate, kbps)


@pytest.mark.parametrize(("name", "channels", "rate", "low", "high"), OGG_ROWS)
def test_every_row_of_ogg_is_encoded(route: str, name: str, channels: int, rate: int, low: int, high: int) -> None:
    for kbps in (low, (low + high) // 2, high):
        check_row(name, channels, rate, kbps)


@pytest.mark.parametrize(("name", "channels", "rate", "low", "high"), ROWS)
def test_bitrates_just_outside_a_row_are_rejected(name: str, channels: int, rate: int, low: int, high: int) -> None:
    assert not any(formats.encoding_problems(name, channels, rate, 16, kbps) for kbps in range(low, high + 1))
    for kbps in (low - 1, high + 1, 0, -low):
        with pytest.raises(ValueError, match=f"takes {low} to {high} kbps, not {kbps}"):
            encode_bytes(noise(channels, 100), rate, format=name, bit_depth=16, bitrate_kbps=kbps)


@given(
    st.sampled_from(["mp3", "ogg"]),
    st.integers(1, 8),
    st.sampled_from([*{rate for _, _, rate, _, _ in ROWS}, 44100, 96000, 1]) | st.integers(1, 200_000),
    st.integers(-10, 400) | st.none(),
)
def test_lossy_formats_accept_exactly_the_tables(name: str, channels: int, rate: int, kbps: int | None) -> None:
    low, high = RANGES.get((name, channels, rate), (1, 0))
    legal = low <= high if kbps is None else low <= kbps <= high
    assert (formats.encoding_problems(name, channels, rate, 16, kbps) == []) == legal


@pytest.mark.parametrize("name", ["wav", "flac"])
@pytest.mark.parametrize("kbps", [8, 128, 320])
def test_lossless_formats_reject_a_bitrate(name: str, kbps: int) -> None:
    with pytest.raises(ValueError, match=f"{name} is lossless and has no bitrate"):
        encode_bytes(noise(2, 100), 48000, format=name, bit_depth=16, bitrate_kbps=kbps)


@pytest.mark.parametrize(("name", "channels", "rate", "low", "high"), [row for row in ROWS if row[2] in (8000, 48000)])
def test_the_default_bitrate_is_the_highest(name: str, channels: int, rate: int, low: int, high: int) -> None:
    song = encode(noise(channels, 48000), rate, format=name, bit_depth=16)
    assert song.bitrate_kbps == high
    assert measured(song.data, 48000 / rate)[3] == pytest.approx(high, rel=0.1)


@pytest.mark.slow
def test_loud_noise_keeps_the_bitrate_over_time(route: str) -> None:
    """libvorbis starts far above its highest bitrate; its reservoir lasts two seconds."""
    loud = noise(2, 30 * 48000, peak=0.5)
    data = encode_bytes(loud, 48000, format="ogg", bit_depth=16, bitrate_kbps=256)
    assert measured(data, 30)[3] == pytest.approx(256, rel=0.1)


def test_media_types_are_the_registered_ones() -> None:
    media_types = {name: target.media_type for name, target in formats.FORMATS.items()}
    assert media_types == {"flac": "audio/flac", "wav": "audio/wav", "mp3": "audio/mpeg", "ogg": "audio/ogg"}


# Decoded again


@pytest.mark.parametrize(("name", "channels", "rate", "low", "high"), OGG_ROWS)
def test_ogg_keeps_the_length_and_the_sound(
    route: str, tmp_path: Path, name: str, channels: int, rate: int, low: int, high: int
) -> None:
    source = sine(rate, 1.7, channels)
    path = tmp_path / "song.ogg"
    path.write_bytes(encode_bytes(source, rate, format="ogg", bit_depth=16))
    decoded, decoded_rate = soundfile.read(path, dtype="float32", always_2d=True)
    assert (decoded_rate, decoded.shape) == (rate, source.T.shape)
    error = (torch.from_numpy(decoded.T) - source).square().mean() / source.square().mean()
    assert error < 1e-3, "30 dB below the tone"
    assert abs(read(path)[0].shape[-1] - source.shape[1]) <= 256


@pytest.mark.parametrize("samples", [1, 2, 63, 4096, 65536, 65537])
def test_ogg_of_odd_lengths(route: str, samples: int) -> None:
    data = encode_bytes(noise(2, samples), 48000, format="ogg", bit_depth=16)
    assert len(soundfile.read(io.BytesIO(data))[0]) == samples


def test_ogg_does_not_mix_the_two_sides(route: str) -> None:
    left = torch.stack([sine(48000, 1, 1)[0], torch.zeros(48000)])
    decoded = soundfile.read(io.BytesIO(encode_bytes(left, 48000, format="ogg", bit_depth=16)))[0]
    assert np.abs(decoded[1000:-1000, 0]).max() > 0.45 and np.abs(decoded[1000:-1000, 1]).max() < 0.02


@pytest.mark.parametrize("name", ["mp3", "ogg"])
def test_samples_above_full_scale_are_clipped(name: str) -> None:
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
    source = noise(channels, samples, 1.0, seed)
    decoded, decoded_rate = soundfile.read(
        io.BytesIO(encode_bytes(source, rate, format=name, bit_depth=bits)), dtype="float64", always_2d=True
    )
    full_scale = 2.0 ** (bits - 1)
    exact = source.double().numpy().T
    expected = exact if bits == 32 else np.clip(np.rint(exact * full_scale), -full_scale, full_scale - 1) / full_scale
    assert decoded_rate == rate and np.array_equal(decoded, expected)


@pytest.mark.parametrize("name", list(formats.FORMATS))
def test_encoding_is_deterministic_except_for_an_ogg_s_serial_number(name: str) -> None:
    first, second = (encode_bytes(noise(2, 5000), 48000, format=name, bit_depth=16, metadata=TAGS) for _ in range(2))
    assert len(first) == len(second) if name == "ogg" else first == second


# Tags, read by another library


def read_tags(name: str, data: bytes) -> dict[str, str]:
    """Tags by lower-case name, read by mutagen; of a WAV those in its comment tag."""
    file = io.BytesIO(data)
    if name in ("flac", "ogg"):
        tags = (FLAC if name == "flac" else OggVorbis)(file).tags
        assert tags is not None
        return {key.lower(): value for key, value in tags}  # pyright: ignore[reportGeneralTypeIssues]  # mutagen has no types
    if name == "mp3":
        tags = ID3(file)
        custom = {frame.desc.lower(): frame.text[0] for frame in tags.getall("TXXX")}
        return custom | ({"title": tags["TIT2"].text[0]} if "TIT2" in tags else {})
    return {key.lower(): value for key, value in json.loads(riff_info(data)["ICMT"]).items()}


def riff_info(data: bytes) -> dict[str, str]:
    """The INFO list of a WAV file."""
    start = data.index(b"INFO") + 4
    end = start - 4 + struct.unpack("<I", data[start - 8 : start - 4])[0]
    info = {}
    while start < end:
        key, size = data[start : start + 4].decode(), struct.unpack("<I", data[start + 4 : start + 8])[0]
        info[key] = data[start + 8 : start + 8 + size].rstrip(b"\0").decode("utf-8")
        start += 8 + size + size % 2
    return info


@pytest.mark.parametrize("name", list(formats.FORMATS))
def test_mutagen_reads_the_tags(name: str) -> None:
    tags = read_tags(name, encode_bytes(noise(2, 5000), 48000, format=name, bit_depth=16, metadata=TAGS))
    assert {key.lower(): value for key, value in TAGS.items()}.items() <= tags.items()


def test_ogg_tags_on_every_route(route: str) -> None:
    large = TAGS | {"workflow": json.dumps({"text": "x" * 1_000_000})}
    data = encode_bytes(sine(48000, 1, 2), 48000, format="ogg", bit_depth=16, metadata=large)
    assert {key.lower(): value for key, value in large.items()}.items() <= read_tags("ogg", data).items()
    assert len(soundfile.read(io.BytesIO(data))[0]) == 48000


def test_a_wav_has_its_title_in_its_info_list() -> None:
    data = encode_bytes(noise(2, 100), 48000, format="wav", bit_depth=16, metadata={"title": "Grüße 東京"})
    assert riff_info(data)["INAM"] == "Grüße 東京"


@pytest.mark.parametrize("name", list(formats.FORMATS))
def test_mutagen_reads_the_same_properties(name: str) -> None:
    info = mutagen.File(io.BytesIO(encode_bytes(noise(2, 48000), 24000, format=name, bit_depth=16)))
    assert info is not None
    assert info.info.length == pytest.approx(2, abs=0.1)
    assert (info.info.sample_rate, info.info.channels) == (24000, 2)
    if name == "ogg":
        assert info.info.bitrate == 160_000


tag_texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=40)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(list(formats.FORMATS)), tag_texts)
def test_any_text_is_preserved(name: str, text: str) -> None:
    data = encode_bytes(torch.zeros(1, 1200), 48000, format=name, bit_depth=16, metadata={"parameters": text})
    assert read_tags(name, data)["parameters"] == text


# The second route to OGG


@pytest.fixture
def no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vorbis, "in_pyav", lambda: False)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setattr(vorbis.shutil, "which", lambda name: None)
    vorbis._program.cache_clear()


def test_without_an_encoder_the_error_says_what_to_install(no_encoder: None) -> None:
    with pytest.raises(vorbis.MissingEncoder, match=r"pip install imageio-ffmpeg \(the extra acestep-xl\[ogg\]\)"):
        encode_bytes(noise(2, 100), 48000, format="ogg", bit_depth=16)
    with pytest.raises(vorbis.MissingEncoder):
        vorbis.route()
    assert len(encode_bytes(noise(2, 100), 48000, format="mp3", bit_depth=16)) > 0


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a shell script")
def test_a_program_without_libvorbis_is_reported_with_its_messages(
    no_encoder: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\ncat > /dev/null\necho \"Unknown encoder 'libvorbis'\" >&2\nexit 8\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(vorbis.shutil, "which", lambda name: str(program))
    with pytest.raises(vorbis.MissingEncoder, match=r"ffmpeg cannot encode Vorbis.*: Unknown encoder 'libvorbis'"):
        encode_bytes(noise(2, 100), 48000, format="ogg", bit_depth=16)
    vorbis._program.cache_clear()


def test_the_route_is_told(route: str) -> None:
    told = vorbis.route()
    assert (told == "PyAV (libvorbis)") if route == "PyAV" else Path(told).name.startswith("ffmpeg")


# Size and memory


@pytest.mark.parametrize(("bits", "channels", "minutes"), [(16, 2, 380), (24, 2, 253), (32, 2, 190), (32, 8, 47.5)])
def test_a_wav_beyond_four_gib_is_refused_before_anything_is_made(bits: int, channels: int, minutes: float) -> None:
    samples = int(minutes * 60 * 48000)
    endless = torch.zeros(1, 1).expand(channels, samples)
    with pytest.raises(ValueError, match=r"wav holds at most 4 GiB, not 4\.\d*: use flac"):
        encode_bytes(endless, 48000, format="wav", bit_depth=bits)
    shorter = int(samples * 0.98)
    assert formats.size_problems("wav", channels, shorter, bits, {}) == []
    assert formats.size_problems("flac", channels, samples, bits, {}) == []
    assert formats.size_problems("wav", channels, shorter, bits, {"workflow": "x" * 10_000_000}) != []


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


# Encoded songs


def test_an_encoded_song_knows_what_it_is() -> None:
    song = encode(noise(1, 12000), 24000, format="mp3", bit_depth=16, bitrate_kbps=64, metadata={"title": "a"})
    assert (song.media_type, song.seconds, song.samples, song.channels) == ("audio/mpeg", 0.5, 12000, 1)
    assert (song.bit_depth, song.bitrate_kbps, song.metadata) == (None, 64, {"title": "a"})
    head, _, body = song.data_uri().partition(",")
    assert head == "data:audio/mpeg;base64" and base64.b64decode(body, validate=True) == song.data
    assert song.base64() == body
    assert "\\x" not in repr(song), "the bytes of a song do not belong in a log"
    lossless = encode(noise(1, 100), 24000, format="flac", bit_depth=24)
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


# Mixing


@given(st.integers(1, 8), st.sampled_from([1, 2]), st.integers(1, 50))
def test_mixing_to_a_number_of_channels(channels: int, target: int, samples: int) -> None:
    source = noise(channels, samples, 1.0)[None]
    mixed = to_channels(source, target)
    assert mixed.shape == (1, target, samples)
    assert mixed.abs().max() <= source.abs().max() * (1 + 1e-6)
    if channels == target:
        assert torch.equal(mixed, source)


def test_mono_is_the_average_of_both_sides_and_goes_to_both() -> None:
    stereo = torch.tensor([[[1.0, 0.5], [0.0, -0.5]]])
    assert to_channels(stereo, 1).tolist() == [[[0.5, 0.0]]]
    assert to_channels(torch.tensor([[[0.25]]]), 2).tolist() == [[[0.25], [0.25]]]
    with pytest.raises(ValueError, match="2 channels can be mixed to 1 or 2, not to 3"):
        to_channels(stereo, 3)

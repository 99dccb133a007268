"""The bitrate tables of the API page: every row is encoded, anything outside is refused."""

from __future__ import annotations

import io

import av
import pytest
import torch
from audio_files import noise, write
from encoded_audio import MP3_ROWS, OGG_ROWS, ROWS, encode_bytes, uniform_noise
from hypothesis import given
from hypothesis import strategies as st

from acestep_xl.audio import formats
from acestep_xl.audio.encoding import encode

RANGES = {(name, channels, rate): (low, high) for name, channels, rate, low, high in ROWS}
# Layer 3 of MPEG-1 from 32 kHz on, of MPEG-2 and 2.5 below (ISO 11172-3 and 13818-3).
STEPS = {
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (*range(8, 65, 8), *range(80, 161, 16)),
}
CODECS = {"mp3": {"mp3", "mp3float"}, "ogg": {"vorbis"}, "flac": {"flac"}, "wav": {"pcm_s16le"}}


def packet_stats(data: bytes, seconds: float) -> tuple[str, int, int, float]:
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
    # MP3 holds its bitrate in every frame, Vorbis on average over some seconds.
    samples = 80_000 if name == "mp3" else 100_000 if rate > 8000 else 200_000
    song = encode(uniform_noise(channels, samples), rate, format=name, bit_depth=16, bitrate_kbps=kbps)
    codec, file_rate, file_channels, file_kbps = packet_stats(song.data, samples / rate)
    assert codec in CODECS[name] and (file_rate, file_channels) == (rate, channels)
    assert (song.sample_rate, song.channels, song.bitrate_kbps) == (rate, channels, kbps)
    if name == "ogg":
        assert file_kbps == pytest.approx(kbps, rel=0.1)
    else:
        steps = STEPS[rate >= 32000]
        nearest = min(abs(step - kbps) for step in steps)
        assert any(file_kbps == pytest.approx(step, rel=0.05) for step in steps if abs(step - kbps) == nearest)


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
            encode_bytes(uniform_noise(channels, 100), rate, format=name, bit_depth=16, bitrate_kbps=kbps)


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
        encode_bytes(uniform_noise(2, 100), 48000, format=name, bit_depth=16, bitrate_kbps=kbps)


@pytest.mark.parametrize(("name", "channels", "rate", "low", "high"), [row for row in ROWS if row[2] in (8000, 48000)])
def test_the_default_bitrate_is_the_highest(name: str, channels: int, rate: int, low: int, high: int) -> None:
    song = encode(uniform_noise(channels, 48000), rate, format=name, bit_depth=16)
    assert song.bitrate_kbps == high
    assert packet_stats(song.data, 48000 / rate)[3] == pytest.approx(high, rel=0.1)


@pytest.mark.slow
def test_loud_noise_keeps_the_bitrate_over_time(route: str) -> None:
    """libvorbis starts far above its highest bitrate; its reservoir lasts two seconds."""
    loud = uniform_noise(2, 30 * 48000, peak=0.5)
    data = encode_bytes(loud, 48000, format="ogg", bit_depth=16, bitrate_kbps=256)
    assert packet_stats(data, 30)[3] == pytest.approx(256, rel=0.1)


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

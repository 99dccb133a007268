"""Identifying files by their content and measuring them by their packets."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from audio_files import UNDECODABLE, UNREADABLE, sine, write, write_mp4
from av.format import ContainerFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media_samples import WRITTEN, bare, understated_flac, written

from acestep_xl.audio import probe as probe_module
from acestep_xl.audio.containers import MEDIA_TYPES, UnreadableAudio
from acestep_xl.audio.decoding import read
from acestep_xl.audio.probe import AudioInfo, identify, probe

SAMPLES = [(f"{kind}-{sample[1]}", *sample) for kind, samples in WRITTEN.items() for sample in samples]
# FFmpeg reads these and does not write them.
NOT_WRITTEN = {"ape", "mpc", "mpc8", "oma", "tak", "xwma"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a file whose name says nothing."""
    return tmp_path / "upload.part"


def probed(path: Path, data: bytes, max_seconds: float = 60.0) -> AudioInfo:
    path.write_bytes(data)
    return probe(path, max_seconds=max_seconds)


# Identification


def test_every_readable_container_is_a_demuxer_and_has_a_sample() -> None:
    assert {ContainerFormat(name, "r").name.split(",")[0] for name in MEDIA_TYPES} == set(MEDIA_TYPES)
    assert set(MEDIA_TYPES) == set(WRITTEN) | NOT_WRITTEN


@pytest.mark.parametrize(("make", "media_type"), [sample[1:] for sample in SAMPLES], ids=[name for name, *_ in SAMPLES])
def test_media_type_and_length(path: Path, make: Callable[[], bytes], media_type: str) -> None:
    info = probed(path, make())
    waveform, rate = read(path)
    assert info.media_type == identify(path) == media_type
    # Lossy encoders add up to a few frames, which are longest at 8000 Hz.
    assert waveform.shape[-1] / rate - 0.01 < info.seconds < waveform.shape[-1] / rate + 0.2


def id3_tag(size: int, footer: bool = False) -> bytes:
    lengths = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    head = b"\x04\x00" + (b"\x10" if footer else b"\x00") + lengths
    return b"ID3" + head + b"\xff" * size + (b"3DI" + head if footer else b"")


@pytest.mark.parametrize(
    "tag",
    [
        id3_tag(0),
        id3_tag(100),
        id3_tag(100, footer=True),
        id3_tag(300_000),
        pytest.param(
            id3_tag(10) + id3_tag(20),
            marks=pytest.mark.skipif(
                av.library_versions["libavformat"] < (62,), reason="FFmpeg before 8 skips one tag"
            ),
        ),
    ],
    ids=["empty", "short", "with footer", "long", "two"],
)
def test_tags_before_the_sound(path: Path, tag: bytes) -> None:
    mp3, flac = bare(written("mp3", "libmp3lame", "fltp")), written("flac", "flac", "s16")
    assert probed(path, tag + mp3).media_type == "audio/mpeg"
    assert probed(path, tag + bytes(500) + mp3).media_type == "audio/mpeg"
    assert probed(path, tag + flac).media_type == "audio/flac"
    assert probed(path, tag + written("adts", "aac", "fltp")).media_type == "audio/aac"
    with pytest.raises(UnreadableAudio):
        probed(path, tag + b"<html>")


def test_old_quicktime_has_no_brand(path: Path) -> None:
    data = written("mov", "pcm_s16le", "s16")
    assert probed(path, data[int.from_bytes(data[:4], "big") :]).media_type == "video/quicktime"


def test_a_film_is_measured_by_its_sound(path: Path) -> None:
    write_mp4(path, sine(48000, 1.0), film=True)
    assert probe(path, max_seconds=2.0) == AudioInfo("video/mp4", pytest.approx(1.0, abs=0.05))


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("song.wav", bytes(1000))
    return file.getvalue()


OTHER_FILES = {
    "nothing": b"",
    "one byte": b"\xff",
    "zeros": bytes(4096),
    "ones": b"\xff" * 4096,
    "text": b"hello there, " * 100,
    "HTML": b"<!DOCTYPE html><html><body>404</body></html>" * 50,
    "JSON": json.dumps({"error": "no"}).encode() * 50,
    "SDP": b"v=0\no=- 0 0 IN IP4 127.0.0.1\n",
    "zip": zipped(),
    "gzip": b"\x1f\x8b\x08" + bytes(100),
    "PDF": b"%PDF-1.7\n" + bytes(100),
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "JPEG": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(500),
    "UTF-16 text": ("\ufeff" + "hello there" * 50).encode("utf-16-le"),
    "GIF": b"GIF89a" + bytes(100),
    "WebP": b"RIFF" + bytes(4) + b"WEBPVP8 " + bytes(100),
    "MIDI": b"MThd\x00\x00\x00\x06" + bytes(100),
    "AVIF": b"\x00\x00\x00\x1cftypavif" + bytes(100),
    "HEIC": b"\x00\x00\x00\x1cftypheic" + bytes(100),
    "ELF": b"\x7fELF\x02\x01\x01" + bytes(100),
    "Windows program": b"MZ\x90\x00" + bytes(100),
    "SQLite": b"SQLite format 3\x00" + bytes(100),
    "safetensors": struct.pack("<Q", 64) + b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}' + bytes(50),
    "IFF picture": b"FORM" + bytes(4) + b"ILBM" + bytes(100),
    "a tag and nothing else": id3_tag(300_000)[:1000],
    "one MP3 frame, then something else": b"\xff\xfb\x90\x00" + bytes(2000),
    "an MP3 frame of free bitrate": b"\xff\xfb\x00\x00" + bytes(2000),
    "an AAC frame without a next": b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(2000),
    "an AC-3 frame without a next": b"\x0b\x77\x00\x00\x14\x40" + bytes(4000),
    "an E-AC-3 frame without a next": b"\x0b\x77\x00\x40\x30\x80" + bytes(4000),
    "one transport packet": b"G" + bytes(600),
    "the first bytes of RF64": b"RF64" + bytes(4) + b"WAVEds64",
}


@pytest.mark.parametrize("data", OTHER_FILES.values(), ids=OTHER_FILES)
def test_other_files_are_rejected(path: Path, data: bytes) -> None:
    with pytest.raises(UnreadableAudio):
        probed(path, data)


PLAYLISTS = {
    "m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n",
    "m3u": "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/secret\n",
    "ffconcat": "ffconcat version 1.0\nfile secret.ts\n",
    "pls": "[playlist]\nFile1=secret.ts\n",
    "mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>secret.ts</BaseURL></MPD>',
}


@pytest.mark.parametrize("extension", PLAYLISTS)
def test_playlists_are_never_opened(tmp_path: Path, extension: str) -> None:
    (tmp_path / "secret.ts").write_bytes(written("mpegts", "aac", "fltp"))
    for name in (f"list.{extension}", "list.part", "list.wav"):
        with pytest.raises(UnreadableAudio, match="cannot be read as audio"):
            probed(tmp_path / name, PLAYLISTS[extension].encode())


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=2000) | st.binary(max_size=200).map(lambda noise: b"ID3" + noise))
def test_any_bytes_are_identified_or_rejected(path: Path, data: bytes) -> None:
    with contextlib.suppress(UnreadableAudio):
        assert "/" in probed(path, data).media_type


# Errors


@pytest.mark.parametrize(("make", "message"), UNREADABLE.values(), ids=UNREADABLE)
def test_unusable_files_are_rejected(path: Path, make: Callable[[Path], object], message: str) -> None:
    make(path)
    with pytest.raises(UnreadableAudio, match=message) as caught:
        probe(path, max_seconds=60.0)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(("make", "message"), UNDECODABLE.values(), ids=UNDECODABLE)
def test_damage_inside_packets_is_left_to_the_decoder(path: Path, make: Callable[[Path], object], message: str) -> None:
    make(path)
    assert probe(path, max_seconds=60.0).seconds < 1.1


def test_a_wav_without_a_stated_length_is_measured(path: Path) -> None:
    write(path, torch.zeros(1, 24000), 48000, format="wav", bit_depth=16)
    data = bytearray(path.read_bytes())
    start = data.index(b"data") + 4
    data[4:8] = data[start : start + 4] = b"\xff\xff\xff\xff"
    assert probed(path, bytes(data)) == AudioInfo("audio/wav", 0.5)


# Length


@pytest.mark.parametrize("format", ["wav", "flac"])
def test_lossless_lengths_are_exact(path: Path, format: str) -> None:
    write(path, sine(48000, 3.0), 48000, format=format, bit_depth=16)
    assert probe(path, max_seconds=3.0).seconds == 3.0
    with pytest.raises(UnreadableAudio, match=r"longer than the 2\.99 seconds allowed; trim it"):
        probe(path, max_seconds=2.99)


@pytest.mark.parametrize("format", ["mp3", "ogg"])
@pytest.mark.parametrize("rate", [8000, 48000])
def test_an_encoder_s_padding_is_allowed(path: Path, format: str, rate: int) -> None:
    write(path, sine(rate, 3.0), rate, format=format, bit_depth=16)
    assert 3.0 <= probe(path, max_seconds=3.0).seconds < 3.2
    with pytest.raises(UnreadableAudio, match=r"longer than the 2\.4 seconds allowed; trim it"):
        probe(path, max_seconds=2.4)


def test_a_header_that_understates_the_length_does_not_count(path: Path) -> None:
    """An Xing header with a tenth of the frames."""
    write(path, sine(48000, 4.0), 48000, format="mp3", bit_depth=16)
    data = bytearray(path.read_bytes())
    frames = next(data.index(name) for name in (b"Xing", b"Info") if name in data) + 8
    count = int.from_bytes(data[frames : frames + 4], "big")
    data[frames : frames + 4] = (count // 10).to_bytes(4, "big")
    assert probed(path, bytes(data)).seconds == pytest.approx(4.0, abs=0.1)


def test_only_the_first_packets_are_decoded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[av.Packet] = []
    decode_packet = probe_module.decode_packet

    def record(packet: av.Packet, container: Any) -> Any:
        decoded.append(packet)
        return decode_packet(packet, container)

    monkeypatch.setattr(probe_module, "decode_packet", record)
    write(path, sine(48000, 20.0), 48000, format="flac", bit_depth=16)
    assert probe(path, max_seconds=20.0).seconds == 20.0
    assert len(decoded) == 1


@pytest.mark.parametrize("codec", ["alac", "wavpack"])
def test_packets_without_durations_are_decoded(path: Path, codec: str) -> None:
    """Matroska states none for these codecs."""
    assert probed(path, written("matroska", codec, "s16p")) == AudioInfo("video/x-matroska", 0.25)
    with pytest.raises(UnreadableAudio, match=r"longer than the 0\.2 seconds allowed"):
        probe(path, max_seconds=0.2)


def test_understated_packets_pass_and_are_caught_by_the_decoder(path: Path) -> None:
    assert probed(path, understated_flac(60), max_seconds=2.0).seconds < 2.0
    with pytest.raises(UnreadableAudio, match="where its packets state"):
        read(path)

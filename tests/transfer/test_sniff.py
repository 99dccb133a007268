"""What the first bytes say, for every container that can be read and for what only pretends to be one."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_samples import WRITTEN, bare, written

from acestep_xl.audio.files import READABLE
from acestep_xl.transfer.sniff import sniff

# Beginnings that FFmpeg reads but does not write, by their specifications.
BEGINNINGS: dict[str, list[tuple[bytes, str]]] = {
    "amr": [(b"#!AMR\n" + bytes(32), "audio/amr"), (b"#!AMR-WB\n" + bytes(32), "audio/amr-wb")],
    "ape": [(b"MAC \x96\x0f" + bytes(32), "audio/x-ape")],
    "dsf": [(b"DSD " + struct.pack("<Q", 28) + bytes(16), "audio/x-dsf")],
    "oma": [(b"ea3\x03\x00\x00\x00\x00\x07\x76" + bytes(100), "audio/x-oma")],
    "mpc": [(b"MP+\x17" + bytes(32), "audio/x-musepack")],
    "mpc8": [(b"MPCKSH" + bytes(32), "audio/x-musepack")],
    "tak": [(b"tBaK" + bytes(32), "audio/x-tak")],
    "xwma": [(b"RIFF" + bytes(4) + b"XWMAfmt " + bytes(32), "audio/x-xwma")],
}


def tag(size: int, footer: bool = False) -> bytes:
    lengths = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    head = b"\x04\x00" + (b"\x10" if footer else b"\x00") + lengths
    return b"ID3" + head + b"\xff" * size + (b"3DI" + head if footer else b"")


SAMPLES = [(kind, *sample) for kind, samples in WRITTEN.items() for sample in samples]


def test_every_readable_container_has_samples() -> None:
    assert sorted(WRITTEN | BEGINNINGS) == sorted(READABLE.split(","))


@pytest.mark.parametrize(("kind", "make", "expected"), SAMPLES, ids=[f"{kind}-{name}" for kind, _, name in SAMPLES])
def test_files_as_they_are_written(kind: str, make: Callable[[], bytes], expected: str) -> None:
    data = make()
    assert sniff(data) == expected
    assert sniff(data[: 1 << 16]) == expected
    assert sniff(data[:640]) == expected


@pytest.mark.parametrize(("data", "expected"), [sample for samples in BEGINNINGS.values() for sample in samples])
def test_beginnings(data: bytes, expected: str) -> None:
    assert sniff(data) == expected


def test_tags_before_the_sound() -> None:
    mp3, flac = bare(written("mp3", "libmp3lame", "fltp")), written("flac", "flac", "s16")
    aac = written("adts", "aac", "fltp")
    for front in (tag(0), tag(100), tag(100, footer=True), tag(300_000), tag(10) + tag(20)):
        assert sniff(front + mp3) == sniff(front + bytes(500) + mp3) == "audio/mpeg"
        assert sniff(front + flac) == "audio/flac"
        assert sniff(front + aac) == "audio/aac"
        assert sniff(front + b"<html>") is None
    assert sniff(tag(300_000)[:1000]) == "audio/mpeg"


def test_old_quicktime_has_no_brand() -> None:
    data = written("mov", "pcm_s16le", "s16")
    assert sniff(data[int.from_bytes(data[:4], "big") :]) == "video/quicktime"


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("song.wav", bytes(1000))
    return file.getvalue()


PRETENDERS = {
    "nothing": b"",
    "one byte": b"\xff",
    "zeros": bytes(4096),
    "ones": b"\xff" * 4096,
    "text": b"hello there, " * 100,
    "HTML": b"<!DOCTYPE html><html><body>404</body></html>" * 50,
    "JSON": json.dumps({"error": "no"}).encode() * 50,
    "playlist": b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/secret\n#EXT-X-ENDLIST\n",
    "concat list": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "PLS": b"[playlist]\nFile1=file:///etc/passwd\n",
    "SDP": b"v=0\no=- 0 0 IN IP4 127.0.0.1\n",
    "DASH": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
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
    "one frame, then nothing of the kind": b"\xff\xfb\x90\x00" + bytes(2000),
    "a frame of free bitrate": b"\xff\xfb\x00\x00" + bytes(2000),
    "AAC frame without a next": b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(2000),
    "AC-3 frame without a next": b"\x0b\x77\x00\x00\x14\x40" + bytes(4000),
    "E-AC-3 frame without a next": b"\x0b\x77\x00\x40\x30\x80" + bytes(4000),
    "one transport packet": b"G" + bytes(600),
}


@pytest.mark.parametrize("data", PRETENDERS.values(), ids=PRETENDERS)
def test_what_is_no_media(data: bytes) -> None:
    assert sniff(data) is None


@given(st.binary(max_size=2000) | st.binary(max_size=200).map(lambda noise: b"ID3" + noise))
def test_any_bytes(data: bytes) -> None:
    found = sniff(data)
    assert found is None or "/" in found

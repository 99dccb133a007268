"""Which files are accepted as recordings: containers, damage, and limits of size and length."""

from __future__ import annotations

import io
import random
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from folders import file_names
from media_samples import WRITTEN, understated_flac
from media_stores import HOUR, MIB, Clock, add, base64_of, open_store, recording

from acestep_xl.audio.containers import UnreadableAudio
from acestep_xl.audio.decoding import read
from acestep_xl.audio.encoding import encode
from acestep_xl.nodes import load_audio
from acestep_xl.service.queue.media_store import EXTENSIONS, OTHER_EXTENSION, MediaError


@pytest.mark.parametrize(("make", "media_type"), [sample for samples in WRITTEN.values() for sample in samples])
def test_every_readable_container(make: Callable[[], bytes], media_type: str, tmp_path: Path) -> None:
    media = add(open_store(tmp_path), base64_of(make()))
    assert media.media_type == media_type and media.path.suffix == EXTENSIONS.get(media_type, OTHER_EXTENSION)
    assert 0.2 < media.seconds < 0.45


def test_the_loading_node_lists_every_extension() -> None:
    assert {*EXTENSIONS.values(), OTHER_EXTENSION} <= set(load_audio.EXTENSIONS)


def truncated_flac() -> bytes:
    data = recording(1.5, format="flac")
    return data[: len(data) // 2]


def without_sound() -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("mpeg4", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(stream.encode(None))
    return file.getvalue()


def in_tiny_packets() -> bytes:
    """One sample per packet, so that the packets themselves fill the memory."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=48000, layout="mono")
        for number in range(3000):
            packet = av.Packet(bytes(2))
            packet.stream, packet.time_base = stream, Fraction(1, 48000)
            packet.pts = packet.dts = number
            container.mux(packet)
    return file.getvalue()


def not_finite() -> bytes:
    samples = np.full(1000, np.nan, dtype="<f4").tobytes()
    head = b"fmt \x10\x00\x00\x00\x03\x00\x01\x00" + (48000).to_bytes(4, "little") + (192000).to_bytes(4, "little")
    body = b"WAVE" + head + b"\x04\x00\x20\x00data" + len(samples).to_bytes(4, "little") + samples
    return b"RIFF" + len(body).to_bytes(4, "little") + body


NOT_AUDIO = r"the recording \(\d+ bytes\) cannot be read as audio: .* Readable containers: aac, "
REJECTED: dict[str, tuple[Callable[[], str], str]] = {
    "nothing": (lambda: "", r"the recording is empty \(0 bytes\)"),
    "not base64": (lambda: "hello, world!", "neither an http or https URL nor valid base64"),
    "not ASCII": (lambda: "bücher", "nor valid base64"),
    "half base64": (lambda: base64_of(recording())[:-3], "nor valid base64"),
    "a path": (lambda: "../../../etc/passwd", "nor valid base64"),
    "a path that is base64": (lambda: "/etc/passwd/", NOT_AUDIO),
    "a data URI without base64": (lambda: "data:audio/wav,RIFF", "data URI must look like"),
    "a data URI without data": (lambda: "data:audio/wav;base64", "data URI must look like"),
    "an empty data URI": (lambda: "data:audio/wav;base64,", "the recording is empty"),
    "HTML that claims to be sound": (lambda: f"data:audio/wav;base64,{base64_of(b'<html>' * 50)}", NOT_AUDIO),
    "a playlist": (lambda: base64_of(b"#EXTM3U\nhttp://127.0.0.1/\n"), NOT_AUDIO),
    "a header alone": (lambda: base64_of(recording()[:44]), "the recording is truncated"),
    "a truncated WAV": (lambda: base64_of(recording()[:-100]), "the recording is truncated"),
    "a truncated FLAC": (lambda: base64_of(truncated_flac()), "the recording is damaged or truncated"),
    "a damaged FLAC": (lambda: base64_of(recording(format="flac")[:200] + bytes(2000)), "the recording"),
    "only the first bytes of FLAC": (lambda: base64_of(b"fLaC" + random.Random(0).randbytes(3000)), "the recording"),
    "only the first bytes of MP4": (lambda: base64_of(b"\x00\x00\x00\x20ftypM4A " + bytes(3000)), "the recording"),
    "a film without sound": (lambda: base64_of(without_sound()), "has no audio stream"),
    "too many bytes": (
        lambda: base64_of(recording(6.0)),
        "bytes; at most 1048576 are allowed|more than the 1048576 bytes",
    ),
    "too long": (lambda: base64_of(recording(1.01, rate=8000)), "longer than the 1 seconds allowed"),
    "too dense": (
        lambda: base64_of(recording(0.4, rate=96000, channels=8, format="flac")[:MIB]),
        "the recording has 8 channels",
    ),
    "too many packets": (lambda: base64_of(in_tiny_packets()), "more than 2000 packets a second"),
}


@pytest.mark.parametrize(("make", "reason"), REJECTED.values(), ids=REJECTED)
def test_unusable_recordings_are_rejected(make: Callable[[], str], reason: str, tmp_path: Path) -> None:
    store = open_store(tmp_path, media_mib=1, media_seconds=1.0)
    with pytest.raises(MediaError, match=reason) as caught:
        add(store, make())
    assert str(tmp_path) not in str(caught.value)
    assert file_names(tmp_path) == []


@pytest.mark.parametrize(
    ("make", "error"),
    [(not_finite, "contains 1000 NaN samples"), (lambda: understated_flac(60), "where its packets state")],
    ids=["NaN", "understated packets"],
)
def test_what_only_decoding_shows_is_left_to_the_task(make: Callable[[], bytes], error: str, tmp_path: Path) -> None:
    """The task's node reads the file with the same bounds on what its packets state, and reports invalidAudio."""
    media = add(open_store(tmp_path, media_seconds=2.0), base64_of(make()))
    with pytest.raises(UnreadableAudio, match=error):
        read(media.path)


def test_a_rejected_file_deletes_nothing(tmp_path: Path) -> None:
    clock = Clock()
    store = open_store(tmp_path, clock, media_gib=0.01, media_hours=0.0)
    stored = sorted(add(store, base64_of(recording(13.0))).path.name for _ in range(4))
    clock.now += 10 * HOUR
    with pytest.raises(MediaError, match="cannot be read as audio"):
        add(store, base64_of(bytes(3 * MIB)))
    assert file_names(tmp_path) == stored


def test_a_small_file_that_holds_hours(tmp_path: Path) -> None:
    """Silence as FLAC, 170 times smaller than decoded, is rejected after the first seconds."""
    bomb = encode(torch.zeros(1, 40 * 60 * 8000), 8000, format="flac", bit_depth=16).data
    assert len(bomb) < 500_000
    source = base64_of(bomb)
    tracemalloc.start()
    try:
        with pytest.raises(MediaError, match="longer than the 10 seconds allowed"):
            add(open_store(tmp_path, media_seconds=10.0), source)
        assert tracemalloc.get_traced_memory()[1] < 3 * MIB
    finally:
        tracemalloc.stop()


def test_a_recording_of_exactly_the_length(tmp_path: Path) -> None:
    assert add(open_store(tmp_path, media_seconds=1.0), base64_of(recording(1.0, rate=96000))).seconds == 1.0

"""Recordings in every container that FFmpeg both reads and writes, and some that are built by hand."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
import torch

from acestep_xl.audio.encoding import encode

RATE = 48000


def written(
    container: str,
    codec: str,
    sample_format: str,
    layout: str = "stereo",
    rate: int = RATE,
    options: dict[str, str] | None = None,
) -> bytes:
    """A quarter of a second of noise, as FFmpeg writes it."""
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options or {}) as output:
        stream = output.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.bit_rate = 64000
        stream.codec_context.format = av.AudioFormat(sample_format)
        size, channels = rate // 4, len(av.AudioLayout(layout).channels)
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, (channels, size)).astype(np.float32)
        source = av.AudioFrame.from_ndarray(noise, format="fltp", layout=layout)
        source.sample_rate, source.time_base, source.pts = rate, Fraction(1, rate), 0
        resampler = av.AudioResampler(
            format=sample_format, layout=layout, rate=rate, frame_size=stream.codec_context.frame_size or 1024
        )
        for frame in [*resampler.resample(source), *resampler.resample(None)]:
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def bare(mp3: bytes) -> bytes:
    """Without the ID3 tag."""
    size = sum(byte << shift for byte, shift in zip(mp3[6:10], (21, 14, 7, 0), strict=True))
    return mp3[10 + size :]


def rifx() -> bytes:
    """A big-endian WAV of a quarter of a second."""
    samples = np.random.default_rng(0).integers(-9999, 9999, RATE // 4).astype(">i2").tobytes()
    chunks = b"WAVEfmt " + struct.pack(">IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    chunks += b"data" + struct.pack(">I", len(samples)) + samples
    return b"RIFX" + struct.pack(">I", len(chunks)) + chunks


def amr(magic: bytes, frame_size: int) -> bytes:
    """A quarter of a second of silence; a frame lasts 20 ms, and one of the lowest bitrate may be all zeros."""
    return magic + bytes(frame_size * 13)


def dsf() -> bytes:
    """A DSD file of a quarter of a second, by Sony's specification."""
    blocks, block_size, rate = 22, 4096, 2_822_400
    data = b"data" + struct.pack("<Q", 12 + blocks * block_size) + b"\x69" * blocks * block_size
    samples = blocks * block_size * 8
    form = b"fmt " + struct.pack("<QIIIIIIQII", 52, 1, 0, 1, 1, rate, 1, samples, block_size, 0)
    return b"DSD " + struct.pack("<QQQ", 28, 28 + len(form) + len(data), 0) + form + data


def understated_flac(seconds: int) -> bytes:
    """An MP4 of silence at 8000 Hz whose packets state a millisecond each and hold 576 samples."""
    flac = encode(torch.zeros(1, seconds * 8000), 8000, format="flac", bit_depth=16).data
    file = io.BytesIO()
    with av.open(io.BytesIO(flac)) as source, av.open(file, "w", format="mp4") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for number, original in enumerate(source.demux(audio=0)):
            if original.size:
                packet = av.Packet(bytes(original))
                packet.stream, packet.time_base = stream, Fraction(1, 1000)
                packet.pts = packet.dts = number
                packet.duration = 1
                target.mux(packet)
    return file.getvalue()


# FFmpeg's name of a container that can be read -> how it is made, and its media type.
WRITTEN: dict[str, list[tuple[Callable[[], bytes], str]]] = {
    "aac": [(lambda: written("adts", "aac", "fltp"), "audio/aac")],
    "ac3": [
        (lambda: written("ac3", "ac3", "fltp"), "audio/ac3"),
        (lambda: written("ac3", "ac3", "fltp", rate=44100), "audio/ac3"),
    ],
    "aiff": [(lambda: written("aiff", "pcm_s16be", "s16"), "audio/aiff")],
    "amr": [
        (lambda: amr(b"#!AMR\n", 13), "audio/amr"),
        (lambda: amr(b"#!AMR-WB\n", 18), "audio/amr-wb"),
    ],
    "asf": [(lambda: written("asf", "wmav2", "fltp"), "video/x-ms-asf")],
    "au": [(lambda: written("au", "pcm_s16be", "s16"), "audio/basic")],
    "avi": [(lambda: written("avi", "pcm_s16le", "s16"), "video/x-msvideo")],
    "caf": [(lambda: written("caf", "pcm_s16le", "s16"), "audio/x-caf")],
    "dsf": [(dsf, "audio/x-dsf")],
    "eac3": [(lambda: written("eac3", "eac3", "fltp"), "audio/eac3")],
    "flac": [(lambda: written("flac", "flac", "s16"), "audio/flac")],
    "flv": [(lambda: written("flv", "aac", "fltp"), "video/x-flv")],
    "matroska": [
        (lambda: written("matroska", "flac", "s16"), "video/x-matroska"),
        (lambda: written("webm", "libopus", "flt"), "video/webm"),
    ],
    "mov": [
        (lambda: written("mov", "pcm_s16le", "s16"), "video/quicktime"),
        (lambda: written("mp4", "aac", "fltp"), "video/mp4"),
        (lambda: written("ipod", "aac", "fltp"), "audio/mp4"),
        (lambda: written("3gp", "aac", "fltp"), "video/3gpp"),
    ],
    "mp3": [
        (lambda: written("mp3", "libmp3lame", "fltp"), "audio/mpeg"),
        (lambda: written("mp3", "libmp3lame", "fltp", "mono", 16000), "audio/mpeg"),
        (lambda: written("mp3", "libmp3lame", "fltp", "mono", 8000), "audio/mpeg"),
        (lambda: written("mp2", "mp2", "s16"), "audio/mpeg"),
        (lambda: bare(written("mp3", "libmp3lame", "fltp")), "audio/mpeg"),
        (lambda: bare(written("mp3", "libmp3lame", "fltp", rate=44100)), "audio/mpeg"),
    ],
    "mpeg": [(lambda: written("mpeg", "mp2", "s16"), "video/mpeg")],
    "mpegts": [(lambda: written("mpegts", "aac", "fltp"), "video/mp2t")],
    "ogg": [
        (lambda: written("ogg", "flac", "s16"), "audio/ogg"),
        (lambda: written("opus", "libopus", "flt"), "audio/ogg"),
    ],
    "tta": [(lambda: written("tta", "tta", "s16"), "audio/x-tta")],
    "voc": [(lambda: written("voc", "pcm_u8", "u8", "mono", 8000), "audio/x-voc")],
    "w64": [(lambda: written("w64", "pcm_s16le", "s16"), "audio/x-w64")],
    "wav": [
        (lambda: written("wav", "pcm_s16le", "s16"), "audio/wav"),
        (lambda: written("wav", "pcm_s16le", "s16", options={"rf64": "always"}), "audio/wav"),
        (rifx, "audio/wav"),
    ],
    "wv": [(lambda: written("wv", "wavpack", "s16p"), "audio/x-wavpack")],
}

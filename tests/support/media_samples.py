"""Recordings in every container that FFmpeg both reads and writes."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np

RATE = 48000


def written(container: str, codec: str, sample_format: str, layout: str = "stereo", rate: int = RATE) -> bytes:
    """A quarter of a second of noise, as FFmpeg writes it."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
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


# FFmpeg's name of a container that can be read -> how it is written, and its media type.
WRITTEN: dict[str, list[tuple[Callable[[], bytes], str]]] = {
    "aac": [(lambda: written("adts", "aac", "fltp"), "audio/aac")],
    "ac3": [
        (lambda: written("ac3", "ac3", "fltp"), "audio/ac3"),
        (lambda: written("ac3", "ac3", "fltp", rate=44100), "audio/ac3"),
    ],
    "aiff": [(lambda: written("aiff", "pcm_s16be", "s16"), "audio/aiff")],
    "asf": [(lambda: written("asf", "wmav2", "fltp"), "video/x-ms-asf")],
    "au": [(lambda: written("au", "pcm_s16be", "s16"), "audio/basic")],
    "avi": [(lambda: written("avi", "pcm_s16le", "s16"), "video/x-msvideo")],
    "caf": [(lambda: written("caf", "pcm_s16le", "s16"), "audio/x-caf")],
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
        (lambda: b"RF64" + bytes(4) + b"WAVEds64", "audio/wav"),
        (lambda: b"RIFX" + bytes(4) + b"WAVEfmt ", "audio/wav"),
    ],
    "wv": [(lambda: written("wv", "wavpack", "s16p"), "audio/x-wavpack")],
}

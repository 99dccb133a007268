"""Audio files for tests: songs, films and broken files."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import torch
from torch import Tensor

from acestep_xl.audio.encoding import encode
from acestep_xl.audio.files import write_new


def write(path: str | Path, waveform: Tensor, sample_rate: int, **options: Any) -> Path:
    """Encode a waveform `[c n]` to a new file; the options are those of `encode`."""
    return write_new(path, encode(waveform, sample_rate, **options).data)


def noise(channels: int, samples: int, seed: int = 0) -> np.ndarray:
    """`[c n]` of 24-bit values, including both ends of full scale."""
    integers = np.random.default_rng(seed).integers(-(2**23), 2**23, (channels, samples))
    integers[:, 0], integers[:, -1] = 2**23 - 1, -(2**23)
    return (integers / 2**23).astype(np.float32)


def sine(rate: int, seconds: float, channels: int = 2, hertz: float = 440.0) -> Tensor:
    time = torch.arange(round(rate * seconds), dtype=torch.float64) / rate
    return (0.5 * torch.sin(2 * math.pi * hertz * time)).float().expand(channels, -1)


def write_mp4(path: Path, sound: Tensor | None, film: bool = False) -> None:
    """An MP4 with AAC, a picture, or both; libsndfile cannot write these."""
    with av.open(str(path), "w", format="mp4") as container:
        picture = container.add_stream("mpeg4", rate=25, width=64, height=64, pix_fmt="yuv420p") if film else None
        stream = container.add_stream("aac", rate=48000, layout="stereo") if sound is not None else None
        if picture:
            image = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            container.mux([*picture.encode(image), *picture.encode(None)])
        if stream:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = 48000, 0
            container.mux([*stream.encode(frame), *stream.encode(None)])


def _write_flac(path: Path) -> None:
    soundfile.write(path, noise(2, 48000).T, 48000, format="FLAC", subtype="PCM_24")


def _truncate(path: Path, fraction: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * fraction)])


def _header_only(path: Path) -> None:
    soundfile.write(path, np.zeros((0, 2)), 48000, format="WAV", subtype="PCM_16")


def _unknown_codec(path: Path) -> None:
    _header_only(path)
    data = bytearray(path.read_bytes())
    data[20:22] = b"\x07\xa9"
    path.write_bytes(data)


def _truncated_flac(path: Path) -> None:
    _write_flac(path)
    _truncate(path, 0.77)


def _flac_cut_between_frames(path: Path) -> None:
    _write_flac(path)
    with av.open(str(path)) as container:
        positions = [packet.pos for packet in container.demux(audio=0) if packet.size]
    path.write_bytes(path.read_bytes()[: positions[-1]])


def _truncated_wav(path: Path) -> None:
    soundfile.write(path, noise(2, 48000).T, 48000, format="WAV", subtype="PCM_24")
    _truncate(path, 0.77)


def _truncated_m4a(path: Path) -> None:
    write_mp4(path, torch.from_numpy(noise(2, 48000)))
    _truncate(path, 0.5)


def _overwrite_middle(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    path.write_bytes(data)


def _damaged_flac(path: Path) -> None:
    _write_flac(path)
    _overwrite_middle(path)


def _damaged_m4a(path: Path) -> None:
    write_mp4(path, torch.from_numpy(noise(2, 48000)))
    _overwrite_middle(path)


def _nan_samples(path: Path) -> None:
    samples = noise(2, 100).T.copy()
    samples[40:43, 1] = math.nan
    soundfile.write(path, samples, 48000, format="WAV", subtype="FLOAT")


def _playlist(path: Path) -> None:
    soundfile.write(path.with_name("secret.wav"), noise(2, 100).T, 48000)
    path.write_text("ffconcat version 1.0\nfile secret.wav\n")


# What writes the file, and the error that it causes when it is opened or its packets are read.
UNREADABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: path.unlink(missing_ok=True), "there is no file"),
    "a folder": (Path.mkdir, "there is no file"),
    "empty": (Path.touch, r"empty \(0 bytes\)"),
    "text": (
        lambda path: path.write_text("These are words, and no sound at all.\n" * 40),
        "cannot be read as audio.*Readable containers: aac",
    ),
    "random bytes": (
        lambda path: path.write_bytes(np.random.default_rng(5).bytes(5000)),
        "cannot be read as audio|no audio",
    ),
    "a header only": (_header_only, "no audio samples"),
    "an unknown codec": (_unknown_codec, "no decoder"),
    "a truncated FLAC": (_truncated_flac, "truncated"),
    "a FLAC cut between frames": (_flac_cut_between_frames, "truncated"),
    "a damaged FLAC": (_damaged_flac, "damaged or truncated"),
    "a truncated WAV": (_truncated_wav, r"truncated: \d+ of \d+ bytes"),
    "a truncated M4A": (_truncated_m4a, "cannot be read as audio"),
    "a film without sound": (lambda path: write_mp4(path, None, film=True), "no audio stream, only: video"),
    "a playlist": (_playlist, "cannot be read as audio"),
}

# The same for errors that only decoding shows.
UNDECODABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a damaged M4A": (_damaged_m4a, "damaged or truncated"),
    "NaN": (_nan_samples, "contains 3 NaN samples"),
    "doubles beyond float32": (
        lambda path: soundfile.write(path, np.full((100, 2), 1e300), 48000, format="WAV", subtype="DOUBLE"),
        "contains 200 infinite samples",
    ),
}

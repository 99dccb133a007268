"""Encodes Ogg Vorbis with PyAV if it has libvorbis, otherwise with an ffmpeg program.

PyAV's wheels include libvorbis up to 17.0. FFmpeg's own Vorbis encoder, which they still include, supports neither mono
nor a bitrate.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import av
import torch
from av.codec import Codec
from av.codec.codec import UnknownCodecError
from torch import Tensor

ENCODER = "libvorbis"
INSTALL = "pip install imageio-ffmpeg"


class MissingEncoder(RuntimeError):  # noqa: N818 - says what is missing
    """No Vorbis encoder on this machine; the message says what to install."""


def rate_limit(bitrate_kbps: int) -> dict[str, str]:
    """FFmpeg's option that makes libvorbis keep a bitrate.

    With a bitrate alone, libvorbis picks the quality that yields it for typical music, and is off by up to half for
    other sounds. A limit turns on its rate management, which keeps the average over about two seconds.
    """
    return {"maxrate": str(bitrate_kbps * 1000)}


@functools.cache
def in_pyav() -> bool:
    """Whether PyAV has libvorbis."""
    try:
        Codec(ENCODER, "w")
    except UnknownCodecError:
        return False
    return True


def route() -> str:
    """The OGG encoder of this machine: "PyAV (libvorbis)" or the path of an ffmpeg program. Raises MissingEncoder."""
    return "PyAV (libvorbis)" if in_pyav() else _program()


def encode(samples: Tensor, sample_rate: int, bitrate_kbps: int, tagged: bytes) -> bytes:
    """Encode `[c n]` with an ffmpeg program. tagged: an audio file whose tags are copied.

    Raises MissingEncoder if there is no program or it has no libvorbis.
    """
    program = _program()
    limit = [text for name, value in rate_limit(bitrate_kbps).items() for text in (f"-{name}", value)]
    audio_input = ["-f", "f32le", "-ar", str(sample_rate), "-ac", str(len(samples)), "-i", "pipe:0"]
    output = ["-c:a", ENCODER, "-b:a", f"{bitrate_kbps}k", *limit, "-f", "ogg", "pipe:1"]
    interleaved = torch.clamp(samples.T, -1.0, 1.0, out=torch.empty(samples.shape[::-1])).numpy()
    # Tags come from a file, because a workflow is too long for a command line.
    with tempfile.TemporaryDirectory() as folder:
        tag_file = Path(folder) / "tagged"
        tag_file.write_bytes(tagged)
        tag_input = ["-i", str(tag_file), "-map", "0:a", "-map_metadata", "1"]
        process = subprocess.run(
            [program, "-hide_banner", "-v", "error", *audio_input, *tag_input, *output],
            input=interleaved.data.cast("B"),
            capture_output=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    if process.returncode:
        messages = process.stderr.decode("utf-8", "replace").strip()
        raise MissingEncoder(f"{program} cannot encode Vorbis ({INSTALL} installs one that can): {messages}")
    return process.stdout


@functools.cache
def _program() -> str:
    """The path of an ffmpeg program: imageio-ffmpeg's if installed, otherwise the one on the PATH."""
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        program = shutil.which("ffmpeg")
    if program is None:
        raise MissingEncoder(
            f"OGG needs a Vorbis encoder, which PyAV {av.__version__} lacks: {INSTALL} (the extra acestep-xl[ogg]) "
            "or put an ffmpeg program on the PATH; FLAC and MP3 need neither"
        )
    return program

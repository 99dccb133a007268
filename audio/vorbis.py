"""Ogg Vorbis: by PyAV where it has an encoder, else by an ffmpeg program.

PyAV's wheels carry libvorbis up to 17.0 and not since. FFmpeg's own Vorbis encoder, which they still have, knows no
mono and no bitrate.
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
    """Nothing on this machine encodes Vorbis; the message says what to install."""


def rate_limit(bitrate_kbps: int) -> dict[str, str]:
    """FFmpeg's option that makes libvorbis hold a bitrate.

    Given a bitrate alone, libvorbis takes the quality that gives it on average music, and is off by half either way on
    other sounds. A limit switches its rate management on, which holds the bitrate on average over about two seconds.
    """
    return {"maxrate": str(bitrate_kbps * 1000)}


@functools.cache
def in_pyav() -> bool:
    """Whether PyAV itself encodes Vorbis."""
    try:
        Codec(ENCODER, "w")
    except UnknownCodecError:
        return False
    return True


def route() -> str:
    """What encodes OGG on this machine: "PyAV (libvorbis)" or the path of an ffmpeg program, else MissingEncoder."""
    return "PyAV (libvorbis)" if in_pyav() else _program()


def encode(samples: Tensor, sample_rate: int, bitrate_kbps: int, tagged: bytes) -> bytes:
    """Encode `[c n]` by an ffmpeg program, with the tags of the audio file `tagged`.

    Raises MissingEncoder where there is no program or it has no libvorbis.
    """
    program = _program()
    limit = [text for name, value in rate_limit(bitrate_kbps).items() for text in (f"-{name}", value)]
    sound = ["-f", "f32le", "-ar", str(sample_rate), "-ac", str(len(samples)), "-i", "pipe:0"]
    encoder = ["-c:a", ENCODER, "-b:a", f"{bitrate_kbps}k", *limit, "-f", "ogg", "pipe:1"]
    interleaved = torch.clamp(samples.T, -1.0, 1.0, out=torch.empty(samples.shape[::-1])).numpy()
    # Tags come from a file, for a command line has no room for a workflow.
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "tagged"
        notes.write_bytes(tagged)
        tags = ["-i", str(notes), "-map", "0:a", "-map_metadata", "1"]
        done = subprocess.run(
            [program, "-hide_banner", "-v", "error", *sound, *tags, *encoder],
            input=interleaved.data.cast("B"),
            capture_output=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise MissingEncoder(f"{program} did not encode Vorbis ({INSTALL} brings one that does): {said}")
    return done.stdout


@functools.cache
def _program() -> str:
    """An ffmpeg program: imageio-ffmpeg's choice (its own, mostly), else the one on the path."""
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        found = shutil.which("ffmpeg")
    if found is None:
        raise MissingEncoder(
            f"OGG needs a Vorbis encoder, which PyAV {av.__version__} lacks: {INSTALL} (the extra acestep-xl[ogg]) "
            "or put an ffmpeg program on the path; FLAC and MP3 need nothing"
        )
    return found

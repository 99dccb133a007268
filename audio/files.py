"""Read and write audio files, through FFmpeg's libraries (PyAV)."""

from __future__ import annotations

import logging
import os
import re
import uuid
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path, PureWindowsPath

import av
import numpy as np
import torch
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError
from torch import Tensor

from .encoding import encode
from .waveform import non_finite

__all__ = ["UnreadableAudio", "encode", "numbered_path", "read", "write", "write_bytes"]

logger = logging.getLogger(__name__)

# Containers that hold their own samples. FFmpeg also knows playlists, which make it open whatever files they name.
READABLE = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,eac3,flac,flv,matroska,mov,mp3,mpc,mpc8,mpeg,mpegts,ogg,oma,tak,tta,voc,"
    "w64,wav,wv,xwma"
)


# Of a recording of bounded length, for each second: samples of all channels together (stereo at 96 kHz), and packets,
# which in honest files last 2.5 ms or longer and here cost memory however few samples they hold.
DENSEST, FINEST = 2 * 96000, 2000


class UnreadableAudio(ValueError):  # noqa: N818 - says what the file is
    """A file that is missing, no audio, damaged, or holds no usable samples."""


def read(path: str | Path, *, max_seconds: float | None = None) -> tuple[Tensor, int]:
    """Read the first audio stream of a file: float32 waveform `[1 c n]` and its sample rate in Hz.

    Integer samples become value / 2^(bits - 1), exact up to 24 bits; floating-point samples keep their values, also
    above full scale. Encoder delay is cut off where the file states it.
    max_seconds: for recordings from strangers, whose small files may hold hours. A longer one is given up as soon as
    that shows, and so is one with more samples or packets for each of these seconds than honest files have.
    Raises UnreadableAudio for a file that is missing, empty, no audio, damaged, shorter than its header says (WAV and
    FLAC; other formats log a warning), not finite, or too long.
    """
    # Absolute, because FFmpeg takes what stands before a colon in a relative name for a protocol.
    path = Path(path).absolute()
    if not path.is_file():
        raise UnreadableAudio(f"there is no file {path}")
    _require_whole_riff(path)
    try:
        options = {"format_whitelist": READABLE, "protocol_whitelist": "file"}
        # Tags are not looked at, and old programs wrote them in any encoding.
        with av.open(str(path), options=options, metadata_errors="replace") as container:
            samples, rate = _decode(container, path, max_seconds)
    except FFmpegError as error:
        raise UnreadableAudio(
            f"{path} ({path.stat().st_size} bytes) cannot be read as audio: {error.strerror}. Readable containers: "
            f"{READABLE}"
        ) from error
    waveform = torch.from_numpy(samples)[None]
    if bad := non_finite(waveform):
        raise UnreadableAudio(f"{path} contains {bad}; export it again from a clean source")
    return waveform, rate


def write(
    path: str | Path,
    waveform: Tensor,
    sample_rate: int,
    *,
    format: str,
    bit_depth: int,
    metadata: Mapping[str, str] | None = None,
    bitrate_kbps: int | None = None,
) -> Path:
    """Write a waveform `[c n]` at `sample_rate` Hz and return the path; folders are made, an old file is replaced.

    The arguments are those of `encode`, and so are the errors. The file appears under its name only when it is
    complete.
    """
    data = encode(
        waveform, sample_rate, format=format, bit_depth=bit_depth, metadata=metadata, bitrate_kbps=bitrate_kbps
    )
    return write_bytes(path, data)


def write_bytes(path: str | Path, data: bytes) -> Path:
    """Write a file that takes its name only when it is complete, and is gone when it does not get there.

    Folders are made, an old file is replaced; returns the absolute path. Raises OSError, for instance of a full disk.
    """
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def numbered_path(directory: str | Path, prefix: str, extension: str) -> Path:
    """The next free name in ComfyUI's scheme: `directory/prefix_00001_.extension`, one above the highest number there.

    prefix: may contain folders, with / or \\ on every system, so that a workflow works on all of them. The number
    counts across extensions. Raises ValueError for a prefix that would leave `directory` or is no file name.
    """
    parts = PureWindowsPath(prefix)
    if parts.drive or parts.root or ".." in parts.parts:
        raise ValueError(f"file name prefix {prefix!r} leaves the output folder; use a relative name without ..")
    if illegal := sorted(set(re.findall(r'[<>:"|?*\x00-\x1f]', prefix))):
        raise ValueError(f"file name prefix {prefix!r} contains {illegal}, which not every system allows in names")
    if not parts.name or prefix[-1] in "/\\":
        raise ValueError(f"file name prefix {prefix!r} has no name after its folders; use something like audio/song")
    folder = Path(directory).joinpath(*parts.parts[:-1])
    pattern = re.compile(re.escape(os.path.normcase(parts.name)) + r"_(\d+)_", re.ASCII)
    names = os.listdir(folder) if folder.is_dir() else []
    taken = [int(match[1]) for name in names if (match := pattern.match(os.path.normcase(name)))]
    return folder / f"{parts.name}_{max(taken, default=0) + 1:05}_.{extension}"


def _require_whole_riff(path: Path) -> None:
    """Raise UnreadableAudio if a WAV file ends before the length in its header; FFmpeg reads such a file as shorter."""
    with path.open("rb") as file:
        head = file.read(12)
    if not head:
        raise UnreadableAudio(f"{path} is empty (0 bytes)")
    size, promised = path.stat().st_size, int.from_bytes(head[4:8], "little") + 8
    # Programs that write to a pipe put 0 or about 2 or 4 GiB there. Some forget the padding byte.
    stated = 8 < promised < 2**31 - 4096
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE" and stated and size + 1 < promised:
        raise UnreadableAudio(f"{path} is truncated: {size} of {promised} bytes; copy or export it again")


def _decode(container: InputContainer, path: Path, max_seconds: float | None) -> tuple[np.ndarray, int]:
    """All samples of the first audio stream as float32 `[c n]`, and their rate."""
    if not container.streams.audio:
        found = sorted({stream.type for stream in container.streams})
        raise UnreadableAudio(f"{path} has no audio stream, only: {', '.join(found) or 'nothing'}")
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise UnreadableAudio(f"{path} cannot be read as audio: FFmpeg has no decoder for it; convert it first")
    if stream.codec_context.name == "flac":
        # Without these a frame with a wrong checksum comes out as noise.
        stream.codec_context.options = {"err_detect": "crccheck+explode"}
    blocks: list[np.ndarray] = []
    kinds: set[tuple[int, int]] = set()
    damaged = total = 0
    for number, packet in enumerate(container.demux(stream)):
        try:
            frames = packet.decode()
        except InvalidDataError as error:
            # Other programs' tags and padding around MP3 frames look like broken frames; in no other format do they.
            if container.format.name != "mp3":
                done = sum(block.shape[1] for block in blocks)
                raise UnreadableAudio(
                    f"{path} is damaged or truncated after {done} samples; copy or export it again"
                ) from error
            damaged += 1
            continue
        for frame in frames:
            assert isinstance(frame, av.AudioFrame)
            blocks.append(_float_samples(frame))
            kinds.add((len(blocks[-1]), frame.sample_rate))
            total += blocks[-1].size
            if max_seconds is not None:
                _require_short(path, number, total, *next(iter(kinds)), max_seconds)
    if not blocks:
        raise UnreadableAudio(f"{path} contains no audio samples")
    if len(kinds) > 1:
        raise UnreadableAudio(f"{path} changes channels or sample rate on the way: {sorted(kinds)}; convert it first")
    samples, rate = np.concatenate(blocks, axis=1), kinds.pop()[1]
    stated = Fraction(stream.duration or 0) * (stream.time_base or 0)
    _check_length(path, container.format.name, samples.shape[1], float(stated * rate), rate, damaged)
    return samples, rate


def _require_short(path: Path, packets: int, total: int, channels: int, rate: int, max_seconds: float) -> None:
    """Raise UnreadableAudio once there are more packets, or samples of all channels together, than there may be."""
    if packets > FINEST * max_seconds:
        raise UnreadableAudio(f"{path} is cut into more than {FINEST} packets a second; export it again")
    if total > channels * rate * max_seconds:
        raise UnreadableAudio(f"{path} is longer than the {max_seconds:g} seconds allowed; cut it")
    if total > DENSEST * max_seconds:
        raise UnreadableAudio(
            f"{path} has {channels} channels at {rate} Hz, and so more than the {DENSEST * max_seconds:.0f} samples "
            "allowed; export it as stereo at 48000 Hz"
        )


def _check_length(path: Path, container: str, samples: int, stated: float, rate: int, damaged: int) -> None:
    """Refuse a FLAC file with missing samples; warn about others, whose stated length may be an estimate."""
    if container == "flac" and samples < round(stated):
        raise UnreadableAudio(
            f"{path} is damaged or truncated: {samples} of {round(stated)} samples decode; copy or export it again"
        )
    if damaged or samples < 0.99 * stated - 0.1 * rate:
        logger.warning(
            "%s gave %.2f of about %.2f seconds, and %d damaged packets were left out: is it complete?",
            path,
            samples / rate,
            stated / rate,
            damaged,
        )


def _float_samples(frame: av.AudioFrame) -> np.ndarray:
    """The samples of one decoded frame as float32 `[c n]`."""
    array = frame.to_ndarray()
    if not frame.format.is_planar:
        array = array.reshape(frame.samples, -1).T
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    scale = np.float32(2.0 ** (1 - 8 * array.dtype.itemsize))
    centred = array.astype(np.float32) - np.float32(128.0 if array.dtype == np.uint8 else 0.0)
    return centred * scale

"""Read and write audio files, through FFmpeg's libraries (PyAV)."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path, PureWindowsPath

import av
import numpy as np
import torch
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError, InvalidDataError
from torch import Tensor

from . import formats
from .waveform import as_float32, non_finite, require_rate

logger = logging.getLogger(__name__)

# Containers that hold their own samples. FFmpeg also knows playlists, which make it open whatever files they name.
READABLE = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,eac3,flac,flv,matroska,mov,mp3,mpc,mpc8,mpeg,mpegts,ogg,oma,tak,tta,voc,"
    "w64,wav,wv,xwma"
)
BLOCK = 1 << 16  # samples per channel converted and encoded at a time

# FFmpeg's name of the layout that both FLAC and WAV give to a number of channels.
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


class UnreadableAudio(ValueError):  # noqa: N818 - says what the file is
    """A file that is missing, no audio, damaged, or holds no usable samples."""


def read(path: str | Path) -> tuple[Tensor, int]:
    """Read the first audio stream of a file: float32 waveform `[1 c n]` and its sample rate in Hz.

    Integer samples become value / 2^(bits - 1), exact up to 24 bits; floating-point samples keep their values, also
    above full scale. Encoder delay is cut off where the file states it.
    Raises UnreadableAudio for a file that is missing, empty, no audio, damaged, shorter than its header says (WAV and
    FLAC; other formats log a warning) or not finite.
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
            samples, rate = _decode(container, path)
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

    format: a key of formats.FORMATS. bit_depth: 16, 24 or 32 (float, WAV only); ignored by formats without one (MP3).
    Integers are rounded to nearest and clipped to their range, without dither; 32-bit float keeps every value.
    metadata: tags. FLAC and MP3 keep any name; WAV drops names it does not know, so all of them go into its comment
    tag as one JSON object. bitrate_kbps: constant bitrate of MP3; None for the highest its sample rate allows (320
    from 32 kHz on). The file appears under its name only when it is complete.
    Raises ValueError that lists everything the format cannot do.
    """
    target = formats.get(format)
    samples = _checked(waveform, sample_rate)
    tags = dict(metadata or {})
    problems = formats.encoding_problems(format, len(samples), sample_rate, bit_depth, bitrate_kbps)
    problems += formats.tag_problems(tags)
    if problems:
        raise ValueError(f"cannot write {Path(path).name}: {'; '.join(problems)}")
    if tags and not target.free_tags:
        # json.dumps stays in ASCII, which matters because RIFF tags state no encoding.
        tags["comment"] = json.dumps(tags)
    if target.bitrates and bitrate_kbps is None:
        bitrate_kbps = target.bitrates[sample_rate][1]
    depth = bit_depth if bit_depth in target.encoders else None
    # Encoded in memory: FFmpeg reports a full disk late, in its own words, or not at all.
    encoded = io.BytesIO()
    with av.open(encoded, "w", format=format) as container:
        container.metadata.update(tags)
        _encode(container, samples, sample_rate, depth, target.encoders[depth], bitrate_kbps)
    path = Path(path).absolute()
    _write_whole(path, encoded.getbuffer())
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


def _decode(container: InputContainer, path: Path) -> tuple[np.ndarray, int]:
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
    damaged = 0
    for packet in container.demux(stream):
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
    if not blocks:
        raise UnreadableAudio(f"{path} contains no audio samples")
    if len(kinds) > 1:
        raise UnreadableAudio(f"{path} changes channels or sample rate on the way: {sorted(kinds)}; convert it first")
    samples, rate = np.concatenate(blocks, axis=1), kinds.pop()[1]
    stated = Fraction(stream.duration or 0) * (stream.time_base or 0)
    _check_length(path, container.format.name, samples.shape[1], float(stated * rate), rate, damaged)
    return samples, rate


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


def _checked(waveform: Tensor, sample_rate: int) -> Tensor:
    """The waveform `[c n]` as CPU float32, if there is something in it to write."""
    require_rate("sample_rate", sample_rate)
    if waveform.ndim != 2:
        raise ValueError(f"one file holds one waveform [channels, samples]; got the shape {list(waveform.shape)}")
    samples = as_float32(waveform[None])[0]
    if samples.shape[1] == 0:
        raise ValueError("there are no samples to write")
    if bad := non_finite(samples):
        raise ValueError(f"the waveform contains {bad}, which no file can hold; run loudness.guard on it first")
    return samples


def _write_whole(path: Path, data: memoryview) -> None:
    """Write a file that takes its name only when it is complete, and is gone when it does not get there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _encode(
    container: OutputContainer,
    samples: Tensor,
    sample_rate: int,
    depth: int | None,
    encoder: tuple[str, str],
    bitrate_kbps: int | None,
) -> None:
    """Encode `[c n]` as the only stream of an opened container."""
    name, sample_format = encoder
    stream = container.add_stream(name, rate=sample_rate, layout=LAYOUTS[len(samples)])
    assert isinstance(stream, av.AudioStream)
    stream.codec_context.format = av.AudioFormat(sample_format)
    if bitrate_kbps is not None:
        stream.codec_context.bit_rate = bitrate_kbps * 1000
    for frame in _frames(samples, sample_rate, depth, sample_format):
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _frames(samples: Tensor, sample_rate: int, depth: int | None, sample_format: str) -> Iterator[av.AudioFrame]:
    """Cut `[c n]` into encoder frames."""
    layout, start = LAYOUTS[len(samples)], 0
    for block in samples.split(BLOCK, dim=1):
        array = _quantised(block, depth).numpy()
        packed = array if sample_format.endswith("p") else array.T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(packed), format=sample_format, layout=layout)
        frame.sample_rate, frame.time_base, frame.pts = sample_rate, Fraction(1, sample_rate), start
        start += block.shape[1]
        yield frame


def _quantised(block: Tensor, depth: int | None) -> Tensor:
    """Samples as FFmpeg's encoder wants them: 16 bits in int16, 24 in the upper part of int32, the rest float32."""
    if depth == 32:
        return block
    if depth is None:
        return block.clamp(-1.0, 1.0)
    full = 2.0 ** (depth - 1)
    integers = (block * full).round().clamp(-full, full - 1.0)
    return integers.to(torch.int16) if depth == 16 else integers.to(torch.int32) * 256

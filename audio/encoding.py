"""Encodes waveforms to audio files in memory with FFmpeg's libraries (PyAV)."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np
import torch
from av.container import OutputContainer
from torch import Tensor

from . import formats, vorbis
from .waveform import as_float32, non_finite, require_rate

BLOCK = 1 << 16  # samples per channel that are converted and encoded at a time

MP3_ENCODER = "libmp3lame"
BEST_VARIABLE = {"flags": "+qscale", "global_quality": "0"}  # LAME's V0

# FFmpeg's channel layout for each number of channels, as FLAC and WAV both define it.
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}


@dataclass(frozen=True)
class EncodedAudio:
    """One song as an audio file in memory, with its properties."""

    data: bytes = field(repr=False)
    format: str  # a name that formats.get knows; also the file's extension
    sample_rate: int
    channels: int
    samples: int  # per channel
    bit_depth: int | None  # None: lossy
    bitrate_kbps: int | None  # None: lossless or variable
    metadata: Mapping[str, str] = field(repr=False)

    @property
    def media_type(self) -> str:
        return formats.get(self.format).media_type

    @property
    def seconds(self) -> float:
        return self.samples / self.sample_rate

    def base64(self) -> str:
        return base64.b64encode(self.data).decode("ascii")

    def data_uri(self) -> str:
        """The file as a data URI (RFC 2397)."""
        return f"data:{self.media_type};base64,{self.base64()}"


def encode(
    waveform: Tensor,
    sample_rate: int,
    *,
    format: str,
    bit_depth: int,
    metadata: Mapping[str, str] | None = None,
    bitrate_kbps: int | None = None,
    variable_bitrate: bool = False,
) -> EncodedAudio:
    """Encode a waveform `[c n]` at `sample_rate` Hz.

    format: a name that formats.get knows. bit_depth: 16, 24 or 32 (float, WAV only); ignored by lossy formats. Integers
    are rounded to nearest and clipped to their range, without dither; 32-bit float keeps every value.
    metadata: tags. FLAC, MP3 and OGG keep any name; WAV drops names it does not know, so its comment tag holds all of
    them as one JSON object. bitrate_kbps: of MP3 (constant, the nearest that the encoder has) and OGG (average, hardly
    exceeded over any two seconds); None for the highest that the format's table has for the rate. variable_bitrate: MP3
    at LAME's best variable bitrate, V0, in place of a fixed one.
    Raises ValueError that lists everything the format cannot hold, and MissingEncoder for OGG without an encoder.
    """
    target = formats.get(format)
    samples = _require_samples(waveform, sample_rate)
    tags = dict(metadata or {})
    channels, length = samples.shape
    problems = formats.encoding_problems(format, channels, sample_rate, bit_depth, bitrate_kbps)
    problems += formats.size_problems(format, channels, length, bit_depth, tags) + formats.tag_problems(tags)
    if variable_bitrate and (format != "mp3" or bitrate_kbps is not None):
        problems.append("a variable bitrate is for mp3 alone, without bitrate_kbps")
    if problems:
        raise ValueError(f"cannot encode as {format}: {'; '.join(problems)}")
    if problem := non_finite(samples):
        raise ValueError(f"the waveform contains {problem}, which no file can hold; run loudness.guard on it first")
    if target.bitrates and bitrate_kbps is None and not variable_bitrate:
        bitrate_kbps = target.bitrates[channels][sample_rate][1]
    depth = bit_depth if bit_depth in target.encoders else None
    encoder, stored_tags = target.encoders[depth], _stored_tags(tags, target)
    if encoder[0] == vorbis.ENCODER and not vorbis.in_pyav():
        assert bitrate_kbps is not None  # every lossy format has a table
        tagged = _encode(samples[:, :1], sample_rate, "flac", 16, formats.get("flac").encoders[16], None, stored_tags)
        data = vorbis.encode(samples, sample_rate, bitrate_kbps, tagged)
    else:
        data = _encode(samples, sample_rate, format, depth, encoder, bitrate_kbps, stored_tags)
    return EncodedAudio(data, format, sample_rate, channels, length, depth, bitrate_kbps, tags)


def _stored_tags(tags: dict[str, str], target: formats.Format) -> dict[str, str]:
    """The tags as the format stores them."""
    if not tags or target.free_tags:
        return tags
    # RIFF tags state no encoding; json.dumps produces ASCII.
    return tags | {"comment": json.dumps(tags)}


def _require_samples(waveform: Tensor, sample_rate: int) -> Tensor:
    """The waveform `[c n]` as float32 on the CPU. Raises ValueError for another shape and for one without samples."""
    require_rate("sample_rate", sample_rate)
    if waveform.ndim != 2:
        raise ValueError(f"a file holds one waveform [channels, samples]; got the shape {list(waveform.shape)}")
    samples = as_float32(waveform[None])[0]
    if samples.shape[1] == 0:
        raise ValueError("there are no samples to write")
    return samples


def _encode(
    samples: Tensor,
    sample_rate: int,
    format: str,
    depth: int | None,
    encoder: tuple[str, str],
    bitrate_kbps: int | None,
    tags: Mapping[str, str],
) -> bytes:
    """Encode `[c n]` as the only stream of a container, in memory."""
    name, sample_format = encoder
    # In memory, because FFmpeg reports a full disk late, in its own words, or not at all.
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=format) as container:
        container.metadata.update(tags)
        stream = container.add_stream(name, rate=sample_rate, layout=LAYOUTS[len(samples)])
        assert isinstance(stream, av.AudioStream)
        stream.codec_context.format = av.AudioFormat(sample_format)
        if bitrate_kbps is not None:
            stream.codec_context.bit_rate = bitrate_kbps * 1000
            stream.codec_context.options = vorbis.rate_limit(bitrate_kbps) if name == vorbis.ENCODER else {}
        elif name == MP3_ENCODER:
            stream.codec_context.options = BEST_VARIABLE
        _mux(container, stream, _frames(samples, sample_rate, depth, sample_format))
    return buffer.getvalue()


def _mux(container: OutputContainer, stream: av.AudioStream, frames: Iterator[av.AudioFrame]) -> None:
    for frame in frames:
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _frames(samples: Tensor, sample_rate: int, depth: int | None, sample_format: str) -> Iterator[av.AudioFrame]:
    """Split `[c n]` into frames for the encoder."""
    layout, start = LAYOUTS[len(samples)], 0
    depth = 16 if sample_format == "s16" else depth
    for block in samples.split(BLOCK, dim=1):
        array = _quantise(block, depth).numpy()
        packed = array if sample_format.endswith("p") else array.T.reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(packed), format=sample_format, layout=layout)
        frame.sample_rate, frame.time_base, frame.pts = sample_rate, Fraction(1, sample_rate), start
        start += block.shape[1]
        yield frame


def _quantise(block: Tensor, depth: int | None) -> Tensor:
    """Samples in the encoder's format: 16 bits as int16, 24 in the upper bits of int32, all others as float32."""
    if depth == 32:
        return block
    if depth is None:
        return block.clamp(-1.0, 1.0)
    full_scale = 2.0 ** (depth - 1)
    integers = (block * full_scale).round().clamp(-full_scale, full_scale - 1.0)
    return integers.to(torch.int16) if depth == 16 else integers.to(torch.int32) * 256

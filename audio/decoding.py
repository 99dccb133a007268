"""Decodes audio files to waveforms."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.container import InputContainer
from av.error import InvalidDataError
from torch import Tensor

from .containers import UnreadableAudio, open_audio
from .waveform import non_finite

logger = logging.getLogger(__name__)

# Bounds on files from strangers, per second of the length allowed: samples of all channels together (stereo at 96 kHz),
# and packets, which in honest files last at least 2.5 ms and here cost memory however few samples they hold.
MAX_SAMPLES_PER_SECOND = 2 * 96000
MAX_PACKETS_PER_SECOND = 2000

# A file may decode to this multiple of the length that its packets state, plus these seconds. Stated lengths are
# rounded and sometimes wrong, but hours in packets that state milliseconds are an attack.
MAX_EXPANSION, EXPANSION_MARGIN = 2, 10


class PacketDurations:
    """Adds up the durations that the packets of a stream state. is_complete: every packet so far stated one."""

    def __init__(self) -> None:
        self.seconds = Fraction(0)
        self.is_complete = True

    def add(self, packet: av.Packet) -> None:
        if packet.duration is not None and packet.duration > 0:
            self.seconds += packet.duration * packet.time_base
        elif packet.size > 0:  # the last packet is empty and only flushes the decoder
            self.is_complete = False


def read(path: str | Path, *, max_seconds: float | None = None) -> tuple[Tensor, int]:
    """Decode the first audio stream of a file to a float32 waveform `[1 c n]`; returns it and its sample rate in Hz.

    Integer samples become value / 2^(bits - 1), exact up to 24 bits; floating-point samples keep their values, even
    above full scale. Encoder delay is removed where the file states it.
    max_seconds: for files from strangers, which may be small and yet hold hours. Decoding stops as soon as a file turns
    out to be longer, or to have more samples or packets for each of these seconds than honest files have.
    Raises UnreadableAudio for a file that is missing, empty, not audio, damaged, shorter than its header says (WAV and
    FLAC; other formats log a warning), far longer than its packets say, not finite, or too long.
    """
    path = Path(path).absolute()
    with open_audio(path) as (container, stream):
        samples, rate = _decode(container, stream, path, max_seconds)
    waveform = torch.from_numpy(samples)[None]
    if problem := non_finite(waveform):
        raise UnreadableAudio(f"{path} contains {problem}; export it again from a clean source")
    return waveform, rate


def read_named(path: Path, name: str) -> tuple[Tensor, int]:
    """`read` an absolute path, which errors call by another name.

    A service passes errors on to its clients, who must not learn where the folder is.
    """
    try:
        return read(path)
    except UnreadableAudio as error:
        raise UnreadableAudio(str(error).replace(str(path), name)) from None


def require_within(
    path: Path, packets: int, seconds: float | Fraction, channels: int, rate: int, max_seconds: float
) -> None:
    """Raise UnreadableAudio if a file with so many packets and seconds so far is too long, too dense or too fragmented.

    channels, rate: of its samples.
    """
    if packets > MAX_PACKETS_PER_SECOND * max_seconds:
        raise UnreadableAudio(f"{path} has more than {MAX_PACKETS_PER_SECOND} packets a second; export it again")
    if seconds > max_seconds:
        raise UnreadableAudio(f"{path} is longer than the {max_seconds:g} seconds allowed; trim it")
    max_samples = MAX_SAMPLES_PER_SECOND * max_seconds
    if seconds * channels * rate > max_samples:
        raise UnreadableAudio(
            f"{path} has {channels} channels at {rate} Hz, and so more than the {max_samples:.0f} samples allowed; "
            "export it as stereo at 48000 Hz"
        )


def decode_packet(packet: av.Packet, container: InputContainer) -> list[av.AudioFrame] | None:
    """The frames of a packet, None for one that does not decode but may be skipped. Raises InvalidDataError."""
    try:
        frames = packet.decode()
    except InvalidDataError:
        # Tags and padding that other programs put around MP3 frames look like broken frames; only MP3 has these.
        if container.format.name == "mp3":
            return None
        raise
    return [frame for frame in frames if isinstance(frame, av.AudioFrame)]


def _decode(
    container: InputContainer, stream: av.AudioStream, path: Path, max_seconds: float | None
) -> tuple[np.ndarray, int]:
    """All samples of the stream as float32 `[c n]`, and their rate."""
    blocks: list[np.ndarray] = []
    durations = PacketDurations()
    damaged = samples = channels = rate = 0
    for number, packet in enumerate(container.demux(stream)):
        durations.add(packet)
        try:
            frames = decode_packet(packet, container)
        except InvalidDataError as error:
            raise UnreadableAudio(
                f"{path} is damaged or truncated after {samples} samples; copy or export it again"
            ) from error
        damaged += frames is None
        for frame in frames or ():
            block = _float_samples(frame)
            if blocks and (channels, rate) != (len(block), frame.sample_rate):
                raise UnreadableAudio(
                    f"{path} changes from {channels} channels at {rate} Hz to {len(block)} at {frame.sample_rate} Hz; "
                    "convert it first"
                )
            channels, rate = len(block), frame.sample_rate
            samples += block.shape[1]
            blocks.append(block)
            _require_stated_length(path, samples / rate, durations)
            if max_seconds is not None:
                require_within(path, number, Fraction(samples, rate), channels, rate, max_seconds)
    if not blocks:
        raise UnreadableAudio(f"{path} contains no audio samples")
    stated = float((stream.duration or 0) * (stream.time_base or Fraction(0)) * rate)
    _check_length(path, container.format.name, samples, stated, rate, damaged)
    return np.concatenate(blocks, axis=1), rate


def _require_stated_length(path: Path, seconds: float, durations: PacketDurations) -> None:
    """Raise UnreadableAudio if the samples so far last far longer than their packets state."""
    if durations.is_complete and seconds > MAX_EXPANSION * durations.seconds + EXPANSION_MARGIN:
        raise UnreadableAudio(
            f"{path} decodes to {seconds:.3g} seconds where its packets state {float(durations.seconds):.3g}; "
            "export it again"
        )


def _check_length(path: Path, container: str, samples: int, stated: float, rate: int, damaged: int) -> None:
    """Reject a FLAC file with missing samples; log a warning for other formats, which may state an estimate."""
    if container == "flac" and samples < round(stated):
        raise UnreadableAudio(
            f"{path} is damaged or truncated: {samples} of {round(stated)} samples decode; copy or export it again"
        )
    if damaged or samples < 0.99 * stated - 0.1 * rate:
        logger.warning(
            "%s gave %.2f of about %.2f seconds, and %d damaged packets were skipped: is it complete?",
            path,
            samples / rate,
            stated / rate,
            damaged,
        )


def _float_samples(frame: av.AudioFrame) -> np.ndarray:
    """The samples of a decoded frame as float32 `[c n]`."""
    array = frame.to_ndarray()
    if not frame.format.is_planar:
        array = array.reshape(frame.samples, -1).T
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    scale = np.float32(2.0 ** (1 - 8 * array.dtype.itemsize))
    centred = array.astype(np.float32) - np.float32(128.0 if array.dtype == np.uint8 else 0.0)
    return centred * scale

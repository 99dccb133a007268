"""Identifies audio files from strangers without decoding all of them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer

from .containers import UnreadableAudio, media_type_of, open_audio
from .decoding import PacketDurations, decode_packet, read, require_within

# Packets that are decoded in search of a first frame. Decoders buffer a few, and an MP3 may begin with damaged ones.
DECODED_PACKETS = 100
# Seconds that lossy encoders add around a song. Packets contain them; a decoder removes what the file states.
MAX_PADDING = Fraction(1, 2)


@dataclass(frozen=True)
class AudioInfo:
    """media_type: of the file, by its content. seconds: length of its first audio stream, with an encoder's padding."""

    media_type: str
    seconds: float


def identify(path: str | Path) -> str:
    """The media type of a file, by its content. Raises UnreadableAudio if it cannot be opened as audio."""
    with open_audio(Path(path).absolute()) as (container, _):
        return media_type_of(container)


def probe(path: str | Path, *, max_seconds: float) -> AudioInfo:
    """Identify a file and measure it by the durations of its packets; only the first packets are decoded.

    Raises UnreadableAudio for whatever `read` rejects with the same `max_seconds`, as far as it shows without decoding:
    damage inside a packet does not, nor samples that are not finite, nor lengths that the packets understate.
    """
    path = Path(path).absolute()
    with open_audio(path) as (container, stream):
        media_type = media_type_of(container)
        seconds = _measure(container, stream, path, max_seconds)
    if seconds is None:
        waveform, rate = read(path, max_seconds=max_seconds)
        seconds = Fraction(waveform.shape[-1], rate)
    return AudioInfo(media_type, float(seconds))


def _measure(container: InputContainer, stream: av.AudioStream, path: Path, max_seconds: float) -> Fraction | None:
    """Length of the stream in seconds; None if a packet does not state its duration."""
    durations = PacketDurations()
    padding = Fraction(0) if stream.codec_context.codec.lossless else MAX_PADDING
    channels = rate = 0
    for number, packet in enumerate(container.demux(stream)):
        durations.add(packet)
        if not durations.is_complete:
            return None
        if rate == 0 and number < DECODED_PACKETS:
            for frame in decode_packet(packet, container) or ():
                channels, rate = frame.layout.nb_channels, frame.sample_rate
        require_within(path, number, durations.seconds - padding, channels, rate, max_seconds)
    if rate == 0:
        raise UnreadableAudio(f"{path} contains no audio samples")
    stated = (stream.duration or 0) * (stream.time_base or Fraction(0))
    if container.format.name == "flac" and durations.seconds < stated:
        lengths = f"{float(durations.seconds):.6g} of {float(stated):.6g} seconds"
        raise UnreadableAudio(f"{path} is damaged or truncated: {lengths} are there; copy or export it again")
    return durations.seconds

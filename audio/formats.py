"""The audio formats that can be written, and what each of them can hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """A file format that can be written. Its name in FORMATS is FFmpeg's name of the container and the extension."""

    encoders: dict[int | None, tuple[str, str]]  # bit depth (None: has none) -> FFmpeg encoder and sample format
    channels: int
    bitrates: dict[int, tuple[int, int]] | None  # Hz -> lowest and highest kbps; None: lossless, any rate
    free_tags: bool  # whether tags of any name survive


def get(name: str) -> Format:
    """Look up an output format; an unknown name is a ValueError that lists the known ones."""
    if name not in FORMATS:
        raise ValueError(f"unknown audio format {name!r}; known: {', '.join(FORMATS)}")
    return FORMATS[name]


def encoding_problems(
    name: str, channels: int, sample_rate: int, bit_depth: int, bitrate_kbps: int | None
) -> list[str]:
    """Everything that keeps the named format from holding such a waveform, in words; empty if nothing does."""
    target = get(name)
    problems = []
    if bit_depth not in target.encoders and None not in target.encoders:
        problems.append(f"{name} holds {_listed(target.encoders)} bits per sample, not {bit_depth}")
    if channels > target.channels:
        problems.append(f"{name} holds up to {target.channels} channels, not {channels}: mix it down first")
    if target.bitrates is None:
        if bitrate_kbps is not None:
            problems.append(f"{name} is lossless and has no bitrate: leave it out")
    elif sample_rate not in target.bitrates:
        problems.append(f"{name} holds {_listed(target.bitrates)} Hz, not {sample_rate}: resample first")
    elif bitrate_kbps is not None:
        lowest, highest = target.bitrates[sample_rate]
        if not lowest <= bitrate_kbps <= highest:
            problems.append(f"{name} at {sample_rate} Hz takes {lowest} to {highest} kbps, not {bitrate_kbps}")
    return problems


def tag_problems(tags: Mapping[str, str]) -> list[str]:
    """Tags that a file would cut or lose without a word, in words; empty if there are none."""
    # The names that a Vorbis comment (FLAC) allows.
    names = [f"tag name {name!r} is not plain ASCII without =" for name in tags if not re.fullmatch("[ -<>-}]+", name)]
    return names + [f"tag {name!r} contains a zero character" for name, value in tags.items() if "\0" in value]


def _listed(choices: Iterable[int | None]) -> str:
    return ", ".join(str(choice) for choice in choices)


# MPEG-2.5, MPEG-2 and MPEG-1 audio, layer 3: what the encoder really does at each sample rate.
_MP3_BITRATES = {
    **dict.fromkeys((8000, 11025, 12000), (8, 64)),
    **dict.fromkeys((16000, 22050, 24000), (8, 160)),
    **dict.fromkeys((32000, 44100, 48000), (32, 320)),
}

FORMATS: dict[str, Format] = {
    "flac": Format({16: ("flac", "s16"), 24: ("flac", "s32")}, 8, None, True),
    "wav": Format({16: ("pcm_s16le", "s16"), 24: ("pcm_s24le", "s32"), 32: ("pcm_f32le", "flt")}, 8, None, False),
    "mp3": Format({None: ("libmp3lame", "fltp")}, 2, _MP3_BITRATES, True),
}

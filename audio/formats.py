"""The audio formats that can be written, and what each of them can hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Bitrates = Mapping[int, Mapping[int, tuple[int, int]]]  # channels -> Hz -> lowest and highest kbps


@dataclass(frozen=True)
class Format:
    """A file format that can be written. Its name in FORMATS is FFmpeg's name of the container and the extension."""

    media_type: str
    encoders: Mapping[int | None, tuple[str, str]]  # bit depth (None: has none) -> FFmpeg encoder and sample format
    channels: int
    bitrates: Bitrates | None  # None: lossless, any rate
    free_tags: bool  # whether tags of any name survive
    most_bytes: int | None = None  # of samples and tags


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
    fits = 1 <= channels <= target.channels
    if not fits:
        problems.append(f"{name} holds up to {target.channels} channels, not {channels}: mix it down first")
    if target.bitrates is None:
        if bitrate_kbps is not None:
            problems.append(f"{name} is lossless and has no bitrate: leave it out")
        return problems
    ranges = target.bitrates[channels if fits else target.channels]
    if sample_rate not in ranges:
        problems.append(f"{name} holds {_listed(ranges)} Hz, not {sample_rate}: resample first")
    elif bitrate_kbps is not None and fits:
        lowest, highest = ranges[sample_rate]
        if not lowest <= bitrate_kbps <= highest:
            held = f"{name} at {sample_rate} Hz with {channels} channel{'s' if channels > 1 else ''}"
            problems.append(f"{held} takes {lowest} to {highest} kbps, not {bitrate_kbps}")
    return problems


def size_problems(name: str, channels: int, samples: int, bit_depth: int, tags: Mapping[str, str]) -> list[str]:
    """Why a song of so many samples per channel is too large for the named format, in words; empty if it is not."""
    most = get(name).most_bytes
    # A WAV file has its tags twice: the names it knows, and all of them as JSON, where one character may take 12 bytes.
    size = channels * samples * bit_depth // 8 + sum(16 * len(key + value) for key, value in tags.items()) + 4096
    if most is None or size <= most:
        return []
    held, wanted = most / 2**30, size / 2**30
    return [f"{name} holds at most {held:.3g} GiB, not {wanted:.3g}: use flac, fewer bits or a shorter song"]


def tag_problems(tags: Mapping[str, str]) -> list[str]:
    """Tags that a file would cut or lose without a word, in words; empty if there are none."""
    # The names that a Vorbis comment (FLAC, OGG) allows.
    names = [f"tag name {name!r} is not plain ASCII without =" for name in tags if not re.fullmatch("[ -<>-}]+", name)]
    return names + [f"tag {name!r} contains a zero character" for name, value in tags.items() if "\0" in value]


def _listed(choices: Iterable[int | None]) -> str:
    return ", ".join(str(choice) for choice in choices)


# The hosted model's API page, audioSettings. MP3: what MPEG-1, MPEG-2 and MPEG-2.5 layer 3 allow.
_MP3_BITRATES = {
    **dict.fromkeys((8000, 11025, 12000), (8, 64)),
    **dict.fromkeys((16000, 22050, 24000), (8, 160)),
    **dict.fromkeys((32000, 44100, 48000), (32, 320)),
}
_OGG_BITRATES = {
    1: {8000: (8, 40), 12000: (16, 48), 16000: (16, 96), 24000: (16, 80), 48000: (32, 224)},
    2: {8000: (16, 80), 12000: (16, 96), 16000: (24, 192), 24000: (32, 160), 48000: (48, 256)},
}

FORMATS: dict[str, Format] = {
    "flac": Format("audio/flac", {16: ("flac", "s16"), 24: ("flac", "s32")}, 8, None, True),
    "wav": Format(
        "audio/wav",
        {16: ("pcm_s16le", "s16"), 24: ("pcm_s24le", "s32"), 32: ("pcm_f32le", "flt")},
        8,
        None,
        False,
        2**32 - 1,  # its header counts bytes in 32 bits
    ),
    "mp3": Format("audio/mpeg", {None: ("libmp3lame", "fltp")}, 2, {1: _MP3_BITRATES, 2: _MP3_BITRATES}, True),
    "ogg": Format("audio/ogg", {None: ("libvorbis", "fltp")}, 2, _OGG_BITRATES, True),
}

"""The audio formats that can be written, and their limits."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Bitrates = Mapping[int, Mapping[int, tuple[int, int]]]  # channels -> Hz -> lowest and highest kbps


@dataclass(frozen=True)
class Format:
    """A file format that can be written. Its name is also FFmpeg's container name and the extension."""

    media_type: str
    encoders: Mapping[int | None, tuple[str, str]]  # bit depth (None: lossy) -> FFmpeg encoder and sample format
    max_channels: int
    bitrates: Bitrates | None  # None: lossless, any rate
    free_tags: bool  # whether it keeps tags of any name
    max_bytes: int | None = None  # of samples and tags


def get(name: str) -> Format:
    """An output format by name. Raises ValueError that lists the known ones."""
    known = FORMATS | NATIVE_FORMATS
    if name not in known:
        raise ValueError(f"unknown audio format {name!r}; known: {', '.join(known)}")
    return known[name]


def nearest_bitrate(name: str, channels: int, sample_rate: int, bitrate_kbps: int) -> int:
    """The bitrate that the named lossy format takes nearest to a wanted one; that itself where the format takes none.

    What keeps the format from holding such a waveform at all is left to `encoding_problems`.
    """
    ranges = (get(name).bitrates or {}).get(channels, {})
    lowest, highest = ranges.get(sample_rate, (bitrate_kbps, bitrate_kbps))
    return max(lowest, min(bitrate_kbps, highest))


def encoding_problems(
    name: str, channels: int, sample_rate: int, bit_depth: int, bitrate_kbps: int | None
) -> list[str]:
    """Why the named format cannot hold such a waveform; empty if it can."""
    target = get(name)
    problems = []
    if bit_depth not in target.encoders and None not in target.encoders:
        problems.append(f"{name} holds {_listed(target.encoders)} bits per sample, not {bit_depth}")
    fits = 1 <= channels <= target.max_channels
    if not fits:
        problems.append(f"{name} holds up to {target.max_channels} channels, not {channels}: mix it down first")
    if target.bitrates is None:
        if bitrate_kbps is not None:
            problems.append(f"{name} is lossless and has no bitrate: omit it")
        return problems
    ranges = target.bitrates[channels if fits else target.max_channels]
    if sample_rate not in ranges:
        problems.append(f"{name} holds {_listed(ranges)} Hz, not {sample_rate}: resample first")
    elif bitrate_kbps is not None and fits:
        lowest, highest = ranges[sample_rate]
        if not lowest <= bitrate_kbps <= highest:
            combination = f"{name} at {sample_rate} Hz with {channels} channel{'s' if channels > 1 else ''}"
            problems.append(f"{combination} takes {lowest} to {highest} kbps, not {bitrate_kbps}")
    return problems


def size_problems(name: str, channels: int, samples: int, bit_depth: int, tags: Mapping[str, str]) -> list[str]:
    """Why a song of so many samples per channel is too large for the named format; empty if it fits."""
    limit = get(name).max_bytes
    # A WAV file stores its tags twice: those it knows, and all as JSON, where one character may take 12 bytes.
    size = channels * samples * bit_depth // 8 + sum(16 * len(key + value) for key, value in tags.items()) + 4096
    if limit is None or size <= limit:
        return []
    return [
        f"{name} holds at most {limit / 2**30:.3g} GiB, not {size / 2**30:.3g}: use flac, fewer bits or a shorter song"
    ]


def tag_problems(tags: Mapping[str, str]) -> list[str]:
    """Why a file would truncate or drop some of the tags; empty if it keeps them all."""
    # Vorbis comments (FLAC, OGG) allow these names.
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

# What only ComfyUI's own save nodes write, from 16-bit samples. FFmpeg's libopus takes up to 256 kbps a channel, the
# format 510 in all.
NATIVE_FORMATS: dict[str, Format] = {
    "opus": Format(
        "audio/ogg",
        {None: ("libopus", "s16")},
        2,
        {
            channels: dict.fromkeys((8000, 12000, 16000, 24000, 48000), (6, highest))
            for channels, highest in ((1, 256), (2, 510))
        },
        True,
    )
}

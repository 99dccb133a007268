"""How nodes encode songs and write them to the output folder."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from .. import parameters
from ..audio import vorbis
from ..audio.encoding import EncodedAudio, encode
from ..audio.files import numbered_stem, write_new
from ..audio.formats import encoding_problems, get
from ..audio.resample import resample, to_channels
from ..host import current_host
from ..host.submission import Submission, current_submission
from . import metadata
from .file_saving import OutputFile, name_problems, save_files
from .sampler_chain import EMPTY_LATENTS

# The socket: a list of audio.encoding.EncodedAudio, one per song.
ENCODED_AUDIO = "ACESTEP_ENCODED_AUDIO"
LONGEST_FORMAT = "flac"  # the longest extension, where a link hides the format
SMALLEST_ROOM = 2**20  # bytes that must be free where the length is not known
HIDDEN = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO", "unique_id": "UNIQUE_ID"}


@dataclass(frozen=True)
class Encoding:
    """The widgets' values. sample_rate, channels: None as the song comes. bitrate_kbps: None for the highest."""

    format: str
    bit_depth: int
    bitrate_kbps: int | None
    sample_rate: int | None
    channels: int | None
    variable_bitrate: bool = False  # MP3 only

    @staticmethod
    def of(format: str, bit_depth: str, bitrate: int, sample_rate: str, channels: str) -> Encoding:
        rate, mix = (None if value == parameters.AUTO else int(value) for value in (sample_rate, channels))
        return Encoding(format, int(bit_depth), bitrate or None, rate, mix)

    def problems(self) -> list[str]:
        """Problems that no song could avoid, in words."""
        tables = get(self.format).bitrates or {}
        # A value left on auto may be anything that the format takes; our own songs are 48 kHz stereo.
        mixes = [2, *tables] if self.channels is None else [self.channels]
        rates = [parameters.SAMPLE_RATE, *(rate for table in tables.values() for rate in table)]
        rates = rates if self.sample_rate is None else [self.sample_rate]
        problems = [
            encoding_problems(self.format, mix, rate, self.bit_depth, self.bitrate_kbps)
            for mix, rate in itertools.product(mixes, rates)
        ]
        return problems[0] if all(problems) else []

    def bytes_per_second(self) -> float:
        """At most, of songs at 48 kHz in stereo where the widgets leave that open."""
        samples = (self.sample_rate or parameters.SAMPLE_RATE) * (self.channels or 2)
        if get(self.format).bitrates is None:
            return samples * self.bit_depth / 8
        return (self.bitrate_kbps or parameters.get("bitrate").maximum or 0) * 1000 / 8

    def encode(self, waveform: Tensor, sample_rate: int, tags: Mapping[str, str]) -> EncodedAudio:
        """Encode one song `[c n]`."""
        song = waveform[None] if self.channels is None else to_channels(waveform[None], self.channels)
        if self.sample_rate is not None:
            song, sample_rate = resample(song, sample_rate, self.sample_rate), self.sample_rate
        return encode(
            song[0],
            sample_rate,
            format=self.format,
            bit_depth=self.bit_depth,
            metadata=tags,
            bitrate_kbps=self.bitrate_kbps,
            variable_bitrate=self.variable_bitrate,
        )


@dataclass(frozen=True)
class Origin:
    """Where songs come from: ComfyUI's hidden inputs, and their title."""

    prompt: Mapping[str, Any] | None
    extra: Mapping[str, Any] | None
    node_id: str | None
    title: str

    def tags(self, index: int, count: int) -> dict[str, str]:
        """Tags of one song; the title alone where the user wants no metadata in files."""
        if not current_host().metadata_enabled():
            return {"title": self.title} if self.title else {}
        return metadata.tags(self.prompt, self.extra, self.node_id, self.title, index, count)


def problem(
    format: str | None, bit_depth: str | None, bitrate: int | None, sample_rate: str | None, channels: str | None
) -> bool | str:
    """What VALIDATE_INPUTS returns for the widgets of an Encoding; None stands for a linked one."""
    choices = {"audio_format": format, "bit_depth": bit_depth, "sample_rate": sample_rate, "channels": channels}
    problems = [
        f"{name.removeprefix('audio_')} is {value!r}, allowed: {', '.join(parameters.get(name).choices)}"
        for name, value in choices.items()
        if value is not None and parameters.choices.spell(value) not in parameters.get(name).choices
    ]
    if problems:
        return "; ".join(problems)
    encoding = _encoding(format, bit_depth, bitrate, sample_rate, channels)
    if encoding is None:
        return True
    return "; ".join([*encoding.problems(), *_missing_encoder(encoding.format)]) or True


def saving_problem(
    prefix: str | None,
    format: str | None,
    bit_depth: str | None,
    bitrate: int | None,
    sample_rate: str | None,
    channels: str | None,
) -> bool | str:
    """What VALIDATE_INPUTS returns for songs in a valid encoding that are saved under a prefix."""
    encoding = _encoding(format, bit_depth, bitrate, sample_rate, channels)
    rate = 0.0 if encoding is None else encoding.bytes_per_second()
    return name_problem(prefix, format or LONGEST_FORMAT, rate)


def name_problem(prefix: str | None, extension: str, bytes_per_second: float = 0.0) -> bool | str:
    """What VALIDATE_INPUTS returns for the prefix of files; None stands for a linked one."""
    if prefix is None:
        return True
    size = max(int(_submitted_seconds() * bytes_per_second), SMALLEST_ROOM)
    return "; ".join(name_problems(prefix, extension, size)) or True


def songs(audio: Mapping[str, Any], encoding: Encoding, origin: Origin) -> Iterator[EncodedAudio]:
    """Encode the songs of an AUDIO one by one; an interruption stops between two of them."""
    waveforms = audio["waveform"]
    for index, waveform in enumerate(waveforms):
        current_host().check_interrupted()
        yield encoding.encode(waveform, audio["sample_rate"], origin.tags(index, len(waveforms)))


def save(
    songs: Iterable[EncodedAudio], prefix: str, sidecar: bool, submission: Submission | None
) -> list[dict[str, str]]:
    """Write songs under the next free names and return ComfyUI's references to them, with their seeds.

    See `save_files` and `metadata.song_seed`.
    """
    seeds: list[dict[str, str]] = []

    def files() -> Iterator[OutputFile]:
        for song in songs:
            seeds.append(metadata.song_seed(song.metadata))
            yield OutputFile(song.data, song.format, partial(_sidecar_text, song) if sidecar else None)

    saved = save_files(files(), prefix, submission)
    return [reference | seed for reference, seed in zip(saved, seeds, strict=True)]


def preview(songs: Iterable[EncodedAudio], prefix: str) -> list[dict[str, str]]:
    """Write songs to the temporary folder and return ComfyUI's references to them, with their seeds."""
    return [_preview(song, prefix) for song in songs]


def sidecar_of(song: EncodedAudio, name: str) -> dict[str, Any]:
    """The content of the sidecar of a song whose file has that name."""
    return {
        "file": name,
        "media_type": song.media_type,
        "sample_rate": song.sample_rate,
        "channels": song.channels,
        "seconds": song.seconds,
        "bit_depth": song.bit_depth,
        "bitrate_kbps": song.bitrate_kbps,
        **metadata.read(song.metadata),
    }


def _preview(song: EncodedAudio, prefix: str) -> dict[str, str]:
    with numbered_stem(current_host().temp_directory(), prefix) as stem:
        path = write_new(stem.with_name(f"{stem.name}.{song.format}"), song.data)
    return {"filename": path.name, "subfolder": "", "type": "temp", **metadata.song_seed(song.metadata)}


def _encoding(
    format: str | None, bit_depth: str | None, bitrate: int | None, sample_rate: str | None, channels: str | None
) -> Encoding | None:
    """The encoding of valid widgets; None while a link hides the format."""
    if format is None or bit_depth is None:
        return None
    auto = parameters.AUTO
    return Encoding.of(format, bit_depth, bitrate or 0, sample_rate or auto, channels or auto)


def _submitted_seconds() -> float:
    """The length of all songs of the longest batch in the graph being checked, as far as it states one; else 0."""
    submission = current_submission()
    nodes = () if submission is None else submission.prompt.values()
    batches = [node["inputs"] for node in nodes if node.get("class_type") in EMPTY_LATENTS]
    numbers = [[batch.get(name) for name in ("seconds", "batch_size")] for batch in batches]
    return max(
        (pair[0] * pair[1] for pair in numbers if all(isinstance(number, (int, float)) for number in pair)),
        default=0.0,
    )


def _missing_encoder(format: str) -> list[str]:
    if vorbis.ENCODER not in {name for name, _ in get(format).encoders.values()}:
        return []
    try:
        vorbis.route()
    except vorbis.MissingEncoder as error:
        return [str(error)]
    return []


def _sidecar_text(song: EncodedAudio, name: str) -> bytes:
    # Half a surrogate pair, which a workflow's notes may hold, has no form in UTF-8; JSON has an escape for it.
    text = json.dumps(sidecar_of(song, name), indent=2, ensure_ascii=False)
    return re.sub("[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", text).encode("utf-8")

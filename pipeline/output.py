"""How nodes encode songs and write them to the output folder."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from .. import parameters
from ..audio import vorbis
from ..audio.encoding import EncodedAudio, encode
from ..audio.files import numbered_path, write_bytes
from ..audio.formats import encoding_problems, get
from ..audio.resample import resample, to_channels
from ..host import current_host
from . import metadata

# The socket: a list of audio.encoding.EncodedAudio, one per song.
ENCODED_AUDIO = "ACESTEP_ENCODED_AUDIO"
HIDDEN = {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO", "unique_id": "UNIQUE_ID"}


@dataclass(frozen=True)
class Encoding:
    """The widgets' values. sample_rate, channels: None as the song comes. bitrate_kbps: None for the highest."""

    format: str
    bit_depth: int
    bitrate_kbps: int | None
    sample_rate: int | None
    channels: int | None

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
    if format is None or bit_depth is None:
        return True
    auto = parameters.AUTO
    encoding = Encoding.of(format, bit_depth, bitrate or 0, sample_rate or auto, channels or auto)
    return "; ".join([*encoding.problems(), *_missing_encoder(format)]) or True


def songs(audio: Mapping[str, Any], encoding: Encoding, origin: Origin) -> Iterator[EncodedAudio]:
    """Encode the songs of an AUDIO one by one; an interruption stops between two of them."""
    waveforms = audio["waveform"]
    for index, waveform in enumerate(waveforms):
        current_host().check_interrupted()
        yield encoding.encode(waveform, audio["sample_rate"], origin.tags(index, len(waveforms)))


def save(song: EncodedAudio, prefix: str, index: int, sidecar: bool) -> dict[str, str]:
    """Write one song under the next free name and return ComfyUI's reference to it."""
    path = numbered_path(current_host().output_directory(), _expand_variables(prefix, index), song.format)
    write_bytes(path, song.data)
    if sidecar:
        text = json.dumps(sidecar_of(song, path), indent=2, ensure_ascii=False)
        write_bytes(path.with_suffix(".json"), text.encode("utf-8"))
    return output_reference(path)


def output_reference(path: Path) -> dict[str, str]:
    """ComfyUI's reference to a file in the output folder, for its "ui" results."""
    subfolder = path.relative_to(current_host().output_directory()).parent
    return {"filename": path.name, "subfolder": "" if subfolder == Path() else subfolder.as_posix(), "type": "output"}


def sidecar_of(song: EncodedAudio, path: Path) -> dict[str, Any]:
    """The content of a song's sidecar."""
    return {
        "file": path.name,
        "media_type": song.media_type,
        "sample_rate": song.sample_rate,
        "channels": song.channels,
        "seconds": song.seconds,
        "bit_depth": song.bit_depth,
        "bitrate_kbps": song.bitrate_kbps,
        **metadata.read(song.metadata),
    }


def _missing_encoder(format: str) -> list[str]:
    if vorbis.ENCODER not in {name for name, _ in get(format).encoders.values()}:
        return []
    try:
        vorbis.route()
    except vorbis.MissingEncoder as error:
        return [str(error)]
    return []


def _expand_variables(prefix: str, index: int) -> str:
    """Replace ComfyUI's own variables in a file name prefix."""
    now = time.localtime()
    values = {
        "%batch_num%": str(index),
        "%year%": str(now.tm_year),
        "%month%": f"{now.tm_mon:02}",
        "%day%": f"{now.tm_mday:02}",
        "%hour%": f"{now.tm_hour:02}",
        "%minute%": f"{now.tm_min:02}",
        "%second%": f"{now.tm_sec:02}",
    }
    for name, value in values.items():
        prefix = prefix.replace(name, value)
    return prefix

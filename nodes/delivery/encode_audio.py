"""Node: encode audio to the bytes of files."""

from __future__ import annotations

from typing import Any, ClassVar

from ... import parameters
from ...audio.encoding import EncodedAudio
from ...pipeline import output
from ...pipeline.input_checks import join_answers, text_problem

WIDGETS = ("bit_depth", "bitrate", "sample_rate", "channels", "title")


class EncodeAudio:
    """Turns every song of a batch into the bytes of an audio file."""

    CATEGORY = "audio/ACE-Step XL/delivery"
    DESCRIPTION = "Encodes every song of a batch as FLAC, WAV, MP3 or OGG in memory, to save, upload or send as text."
    FUNCTION = "encode"
    RETURN_TYPES = (output.ENCODED_AUDIO,)
    RETURN_NAMES = ("encoded",)
    OUTPUT_TOOLTIPS = ("One audio file per song, in memory, with seed, settings and workflow in its metadata.",)
    SEARCH_ALIASES: ClassVar = ["encode audio", "audio to bytes", "compress audio", "convert to mp3", "resample audio"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "audio": ("AUDIO", {"tooltip": "The songs to encode."}),
                "format": parameters.widget("audio_format"),
                **{name: parameters.widget(name) for name in WIDGETS},
            },
            "hidden": dict(output.HIDDEN),
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls,
        format: str | None,
        bit_depth: str | None,
        bitrate: int | None,
        sample_rate: str | None,
        channels: str | None,
        title: str | None = None,
    ) -> bool | str:
        encoding = output.problem(format, bit_depth, bitrate, sample_rate, channels)
        return join_answers(encoding, text_problem({"title": title}))

    def encode(
        self,
        audio: dict[str, Any],
        format: str,
        bit_depth: str,
        bitrate: int,
        sample_rate: str,
        channels: str,
        title: str,
        prompt: dict[str, Any] | None = None,
        extra_pnginfo: dict[str, Any] | None = None,
        unique_id: str | None = None,
    ) -> tuple[list[EncodedAudio]]:
        encoding = output.Encoding.of(format, bit_depth, bitrate, sample_rate, channels)
        origin = output.Origin(prompt, extra_pnginfo, unique_id, title)
        return (list(output.songs(audio, encoding, origin)),)

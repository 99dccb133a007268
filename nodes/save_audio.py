"""Node: save audio."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import parameters
from ..host.submission import Submission
from ..pipeline import output
from ..pipeline.input_checks import join_answers, text_problem


class Save:
    """Writes every song of a batch to the output folder."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = (
        "Saves every song of a batch as FLAC, WAV, MP3 or OGG, with seed, settings and workflow in its metadata."
    )
    FUNCTION = "save"
    OUTPUT_NODE = True
    RETURN_TYPES = ()
    SEARCH_ALIASES: ClassVar = ["save audio", "export wav", "export flac", "export mp3", "export ogg"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "audio": ("AUDIO", {"tooltip": "The songs to save."}),
                "filename_prefix": parameters.widget("filename_prefix"),
                "format": parameters.widget("audio_format"),
                "bit_depth": parameters.widget("bit_depth"),
            },
            "optional": {
                name: parameters.widget(name) for name in ("bitrate", "sample_rate", "channels", "sidecar", "title")
            },
            "hidden": dict(output.HIDDEN),
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls,
        format: str | None,
        bit_depth: str | None,
        bitrate: int | None = None,
        sample_rate: str | None = None,
        channels: str | None = None,
        filename_prefix: str | None = None,
        title: str | None = None,
    ) -> bool | str:
        # Naming the inputs switches ComfyUI's own check of their choices off. A connected value arrives as None.
        encoding = (format, bit_depth, bitrate, sample_rate, channels)
        answer = output.problem(*encoding)
        if answer is True:
            answer = output.saving_problem(filename_prefix, *encoding)
        return join_answers(answer, text_problem({"title": title}))

    def save(
        self,
        audio: dict[str, Any],
        filename_prefix: str,
        format: str,
        bit_depth: str,
        bitrate: int = 0,
        sample_rate: str = parameters.AUTO,
        channels: str = parameters.AUTO,
        sidecar: bool = False,
        title: str = "",
        prompt: dict[str, Any] | None = None,
        extra_pnginfo: dict[str, Any] | None = None,
        unique_id: str | None = None,
    ) -> dict[str, Any]:
        encoding = output.Encoding.of(format, bit_depth, bitrate, sample_rate, channels)
        origin = output.Origin(prompt, extra_pnginfo, unique_id, title)
        songs = output.songs(audio, encoding, origin)
        submission = Submission.of(prompt, extra_pnginfo)
        return {"ui": {"audio": output.save(songs, filename_prefix, sidecar, submission)}}

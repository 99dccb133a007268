"""Node: save encoded audio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ... import parameters
from ...audio.encoding import EncodedAudio
from ...host.submission import Submission
from ...pipeline import output


class SaveEncoded:
    """Writes encoded songs to the output folder, byte for byte."""

    CATEGORY = "audio/ACE-Step XL/delivery"
    DESCRIPTION = "Saves encoded songs, so that the file is byte for byte what is sent elsewhere."
    FUNCTION = "save"
    OUTPUT_NODE = True
    RETURN_TYPES = ()
    SEARCH_ALIASES: ClassVar = ["save encoded audio", "write audio bytes"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "encoded": (output.ENCODED_AUDIO, {"tooltip": "From Encode Audio."}),
                "filename_prefix": parameters.widget("filename_prefix"),
                "sidecar": parameters.widget("sidecar"),
            },
            "hidden": {name: output.HIDDEN[name] for name in ("prompt", "extra_pnginfo")},
        }

    @classmethod
    def VALIDATE_INPUTS(cls, filename_prefix: str | None) -> bool | str:
        return output.name_problem(filename_prefix, output.LONGEST_FORMAT)

    def save(
        self,
        encoded: Sequence[EncodedAudio],
        filename_prefix: str,
        sidecar: bool,
        prompt: dict[str, Any] | None = None,
        extra_pnginfo: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        submission = Submission.of(prompt, extra_pnginfo)
        return {"ui": {"audio": output.save(encoded, filename_prefix, sidecar, submission)}}

"""Node: save encoded audio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ... import parameters
from ...audio.encoding import EncodedAudio
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
            }
        }

    def save(self, encoded: Sequence[EncodedAudio], filename_prefix: str, sidecar: bool) -> dict[str, Any]:
        saved = [output.save(song, filename_prefix, index, sidecar) for index, song in enumerate(encoded)]
        return {"ui": {"audio": saved}}

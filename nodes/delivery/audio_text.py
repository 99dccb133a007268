"""Node: encoded audio as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ... import parameters
from ...audio.encoding import EncodedAudio
from ...pipeline.output import ENCODED_AUDIO


class AudioText:
    """Turns encoded songs into text."""

    CATEGORY = "audio/ACE-Step XL/delivery"
    DESCRIPTION = "Converts encoded songs to data URIs or base64, for web pages and JSON."
    FUNCTION = "convert"
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("text",)
    OUTPUT_TOOLTIPS = ("One line per song.",)
    SEARCH_ALIASES: ClassVar = ["data uri", "data url", "base64 audio", "audio to string"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "encoded": (ENCODED_AUDIO, {"tooltip": "From Encode Audio."}),
                "form": parameters.widget("text_form"),
            }
        }

    def convert(self, encoded: Sequence[EncodedAudio], form: str) -> tuple[str]:
        return ("\n".join(song.base64() if form == "base64" else song.data_uri() for song in encoded),)

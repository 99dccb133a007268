"""Node: preview audio."""

from __future__ import annotations

from typing import Any, ClassVar

from ..pipeline import output

ENCODING = output.Encoding.of("flac", "24", 0, "auto", "auto")
PREFIX = "acestep_preview"


class Preview:
    """Writes every song of a batch to the temporary folder."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = (
        "Plays every song of a batch without saving it: the files go to the temporary folder, which ComfyUI empties "
        "when it starts."
    )
    FUNCTION = "preview"
    OUTPUT_NODE = True
    RETURN_TYPES = ()
    SEARCH_ALIASES: ClassVar = ["preview audio", "listen", "play audio", "audio player"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"audio": ("AUDIO", {"tooltip": "The songs to play."})}, "hidden": dict(output.HIDDEN)}

    def preview(
        self,
        audio: dict[str, Any],
        prompt: dict[str, Any] | None = None,
        extra_pnginfo: dict[str, Any] | None = None,
        unique_id: str | None = None,
    ) -> dict[str, Any]:
        songs = output.songs(audio, ENCODING, output.Origin(prompt, extra_pnginfo, unique_id, title=""))
        return {"ui": {"audio": output.preview(songs, PREFIX)}}

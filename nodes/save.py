"""Node: save audio."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from .. import host, parameters
from ..audio.files import numbered_path, write
from ..audio.formats import FORMATS, encoding_problems


class Save:
    """Writes every song of a batch to the output folder."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = "Saves every song of a batch as FLAC, WAV or MP3, with the workflow inside."
    FUNCTION = "save"
    OUTPUT_NODE = True
    RETURN_TYPES = ()
    SEARCH_ALIASES: ClassVar = ["save audio", "export wav", "export flac", "export mp3"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "audio": ("AUDIO", {"tooltip": "What to save."}),
                "filename_prefix": parameters.widget("filename_prefix"),
                "format": parameters.widget("audio_format"),
                "bit_depth": parameters.widget("bit_depth"),
            },
            "hidden": {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }

    @classmethod
    def VALIDATE_INPUTS(cls, format: str | None, bit_depth: str | None) -> bool | str:
        # Naming both switches ComfyUI's own check of their choices off. A connected value arrives as None.
        if format is None or bit_depth is None:
            return True
        if format not in FORMATS or not bit_depth.isdigit():
            return f"format {format!r} with bit_depth {bit_depth!r}: allowed are {', '.join(FORMATS)} and 16, 24, 32"
        return "; ".join(encoding_problems(format, 2, parameters.SAMPLE_RATE, int(bit_depth), None)) or True

    def save(
        self,
        audio: dict[str, Any],
        filename_prefix: str,
        format: str,
        bit_depth: str,
        prompt: dict[str, Any] | None = None,
        extra_pnginfo: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        place = host.current()
        folder = place.output_directory()
        metadata = _metadata(prompt, extra_pnginfo) if place.metadata_enabled() else {}
        saved = []
        for item in audio["waveform"]:
            path = numbered_path(folder, filename_prefix, format)
            write(path, item, audio["sample_rate"], format=format, bit_depth=int(bit_depth), metadata=metadata)
            inside = path.relative_to(folder)
            saved.append({"filename": path.name, "subfolder": inside.parent.as_posix().lstrip("."), "type": "output"})
        return {"ui": {"audio": saved}}


def _metadata(prompt: dict[str, Any] | None, extra: dict[str, Any] | None) -> dict[str, str]:
    """The graph under the keys ComfyUI reads when a file is dropped on its canvas."""
    found = {} if prompt is None else {"prompt": json.dumps(prompt)}
    return found | {key: json.dumps(value) for key, value in (extra or {}).items()}

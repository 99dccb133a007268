"""ComfyUI's node: a recording of the input folder."""

from __future__ import annotations

import hashlib
import mimetypes
import re
from pathlib import Path
from typing import Any

from ...audio.decoding import read_named
from ...host import current_host
from ...host.directory_walk import resolve
from ...parameters import native

# ComfyUI marks the folder of a name that is not in the input folder.
_MARKED = re.compile(r"(.*) \[(input|output|temp)\]", re.DOTALL)


class LoadAudio:
    """Loads a recording unchanged."""

    FUNCTION = "load"
    RETURN_TYPES = ("AUDIO",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        declared = native.input_types("LoadAudio")
        _, options = declared["required"]["audio"]
        options |= {"options": _recordings(current_host().input_directory()), "audio_upload": True}
        return declared

    @classmethod
    def VALIDATE_INPUTS(cls, audio: str | None = None) -> bool | str:
        # Names with folders and marks are no choices. A connected value arrives as None.
        return True if audio is None or _find(audio) is not None else _missing(audio)

    @classmethod
    def IS_CHANGED(cls, audio: str) -> str:
        return hashlib.sha256(_path(audio).read_bytes()).hexdigest()

    def load(self, audio: str) -> tuple[dict[str, Any]]:
        waveform, rate = read_named(_path(audio), audio)
        return ({"waveform": waveform, "sample_rate": rate},)


def _recordings(folder: Path) -> list[str]:
    """The names of sounds and videos directly in a folder."""
    if not folder.is_dir():
        return []
    types = {path.name: mimetypes.guess_type(path.name, strict=False)[0] or "" for path in folder.iterdir()}
    return sorted(name for name, kind in types.items() if kind.split("/")[0] in ("audio", "video"))


def _path(audio: str) -> Path:
    path = _find(audio)
    if path is None:
        raise FileNotFoundError(_missing(audio))
    return path


def _find(audio: str) -> Path | None:
    """The file of that name inside the folder that it is marked with, by default the input folder."""
    name, mark = _split(audio)
    path = resolve(_FOLDERS[mark](), name)
    return path.absolute() if path is not None and path.is_file() else None


def _split(audio: str) -> tuple[str, str]:
    """A name and the mark of its folder."""
    match = _MARKED.fullmatch(audio)
    return (match[1], match[2]) if match else (audio, "input")


def _missing(audio: str) -> str:
    name, mark = _split(audio)
    names = ", ".join(_recordings(_FOLDERS[mark]()))
    choice = f" or choose another of: {names}" if names else ""
    return f"audio: there is no recording {name!r} in the {mark} folder; put it there{choice}"


_FOLDERS = {
    "input": lambda: current_host().input_directory(),
    "output": lambda: current_host().output_directory(),
    "temp": lambda: current_host().temp_directory(),
}

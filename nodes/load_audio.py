"""Node: load audio."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from .. import parameters
from ..audio.containers import UnreadableAudio
from ..audio.decoding import read_named
from ..audio.probe import probe
from ..audio.trim import problems, trim
from ..host import current_host
from ..host.directory_walk import resolve, walk

EXAMPLE = "example"
EXTENSIONS = tuple(".wav .flac .mp3 .ogg .oga .opus .m4a .aac .aif .aiff .wma .mka .webm .mp4 .mov .mkv".split())
# The example's melody: semitones above A3 and beats, at 120 beats a minute.
MELODY = ((0, 1), (3, 1), (7, 1), (12, 1), (10, 1), (7, 1), (3, 2), (2, 1), (5, 1), (8, 1), (12, 1), (11, 2), (0, 2))


class LoadAudio:
    """Loads a recording, or a part of it, unchanged."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = (
        "Loads a recording from the input folder, or a part of it; WAV and FLAC are read exactly. example is a short "
        "built-in melody."
    )
    FUNCTION = "load"
    RETURN_TYPES = ("AUDIO",)
    RETURN_NAMES = ("audio",)
    OUTPUT_TOOLTIPS = ("The recording at its original sample rate.",)
    SEARCH_ALIASES: ClassVar = ["load audio", "source audio"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        choices = [EXAMPLE, *_names(current_host().input_directory())]
        tooltip = "A file in the input folder. Upload one with the button below, or drop it on the node."
        return {
            "required": {"audio": (choices, {"default": EXAMPLE, "tooltip": tooltip})},
            "optional": {"start": parameters.widget("trim_start"), "end": parameters.widget("trim_end")},
        }

    @classmethod
    def VALIDATE_INPUTS(cls, audio: str | None, start: float | None = 0.0, end: float | None = 0.0) -> bool | str:
        # Naming the inputs switches ComfyUI's own checks of them off. A connected value arrives as None.
        if audio not in (None, EXAMPLE) and _find(audio) is None:
            choices = cls.INPUT_TYPES()["required"]["audio"][0]
            return f"audio: {audio!r} is not one of the choices: {', '.join(choices)}"
        return "; ".join(_part_problems(audio, start, end)) or True

    @classmethod
    def IS_CHANGED(cls, audio: str, start: float = 0.0, end: float = 0.0) -> str:
        if audio == EXAMPLE:
            return EXAMPLE
        return hashlib.sha256(_path(audio).read_bytes()).hexdigest()

    def load(self, audio: str, start: float = 0.0, end: float = 0.0) -> tuple[dict[str, Any]]:
        is_example = audio == EXAMPLE
        waveform, rate = (example(), parameters.SAMPLE_RATE) if is_example else read_named(_path(audio), audio)
        return ({"waveform": trim(waveform, rate, start, end), "sample_rate": rate},)


def example() -> Tensor:
    """Eight seconds of a plucked minor melody, ``[1 2 n]`` at 48 kHz."""
    rate, beat = parameters.SAMPLE_RATE, 0.5
    notes = []
    for semitone, beats in MELODY:
        t = torch.arange(round(beats * beat * rate)) / rate
        pitch = 220.0 * 2 ** (semitone / 12)
        tone = sum(torch.sin(2 * torch.pi * pitch * h * t) / h**2 for h in range(1, 6))
        notes.append(tone * torch.exp(-3 * t) * (t * 200).clamp(max=1))
    mono = 0.4 * torch.cat(notes)
    late = torch.roll(mono, round(0.011 * rate))
    return torch.stack([mono, 0.8 * mono + 0.2 * late])[None]


def _part_problems(audio: str | None, start: float | None, end: float | None) -> list[str]:
    """What can be said about the part before the run; None stands for a connected value."""
    longest = parameters.get("trim_end").maximum or 0.0
    outside = [
        f"{name} is {value:g}, allowed: 0 to {longest:g} seconds"
        for name, value in {"start": start, "end": end}.items()
        if value is not None and not 0 <= value <= longest
    ]
    if outside or not (start or end):
        return outside
    return problems(start or 0.0, end or 0.0, None if audio is None else _seconds(audio))


def _seconds(audio: str) -> float | None:
    """The length of a recording; None if it cannot be measured, which the run reports."""
    if audio == EXAMPLE:
        return example().shape[-1] / parameters.SAMPLE_RATE
    try:
        limit = parameters.get("trim_end").maximum or 0.0
        return probe(_path(audio), max_seconds=limit).seconds
    except (UnreadableAudio, OSError):
        return None


def _names(folder: Path) -> list[str]:
    names = [folder.name_of(file) for folder in walk([folder]) for file in folder.files]
    return sorted(name for name in names if _is_recording(name))


def _is_recording(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS)


def _find(audio: str) -> Path | None:
    """The recording of that name in the input folder, also if the name was saved on Windows."""
    path = resolve(current_host().input_directory(), audio)
    return path.absolute() if path is not None and path.is_file() and _is_recording(path.name) else None


def _path(audio: str) -> Path:
    path = _find(audio)
    if path is None:
        raise FileNotFoundError(f"audio: no recording {audio!r} in the input folder; choose or upload another")
    return path

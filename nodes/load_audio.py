"""Node: load audio."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from .. import parameters
from ..audio.containers import UnreadableAudio
from ..audio.decoding import read
from ..host import current_host

EXAMPLE = "example"
EXTENSIONS = tuple(".wav .flac .mp3 .ogg .oga .opus .m4a .aac .aif .aiff .wma .mka .webm .mp4 .mov .mkv".split())
# The example's melody: semitones above A3 and beats, at 120 beats a minute.
MELODY = ((0, 1), (3, 1), (7, 1), (12, 1), (10, 1), (7, 1), (3, 2), (2, 1), (5, 1), (8, 1), (12, 1), (11, 2), (0, 2))


class LoadAudio:
    """Loads a recording unchanged."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = (
        "Loads a recording from the input folder; WAV and FLAC are read exactly. example is a short built-in melody."
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
        return {"required": {"audio": (choices, {"default": EXAMPLE, "tooltip": tooltip})}}

    @classmethod
    def IS_CHANGED(cls, audio: str) -> str:
        if audio == EXAMPLE:
            return EXAMPLE
        return hashlib.sha256((current_host().input_directory() / audio).read_bytes()).hexdigest()

    def load(self, audio: str) -> tuple[dict[str, Any]]:
        if audio == EXAMPLE:
            return ({"waveform": example(), "sample_rate": parameters.SAMPLE_RATE},)
        path = (current_host().input_directory() / audio).absolute()
        try:
            waveform, rate = read(path)
        except UnreadableAudio as error:
            # A service passes this on to its clients, who must not learn where the folder is.
            raise UnreadableAudio(str(error).replace(str(path), audio)) from None
        return ({"waveform": waveform, "sample_rate": rate},)


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


def _names(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.suffix.lower() in EXTENSIONS)

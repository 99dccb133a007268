"""Warnings about prompts whose parts contradict each other."""

from __future__ import annotations

import re

from ... import parameters
from ...model.prompt import Prompt
from . import writing_systems

INSTRUMENTAL = "[instrumental]"
# The widget's own default, which says nothing about what the user wants.
DEFAULT_LANGUAGE = parameters.get("language").default
# "A major success" names no key: an A without an accidental needs a word before it.
KEY = r"(?:\b[B-G]|\bA(?=\s?[#♯b♭]|[- ](?:sharp|flat|min))|(?<=in )A|(?<=key )A|(?<=of )A|(?<=: )A)"
ACCIDENTAL, MODE = r"\s?(#|♯|b|♭|[- ]sharp|[- ]flat)?", r"[- ]((?i:major|minor|maj|min))\b"
# Faster than the fastest rap: words are dropped or slurred.
SYLLABLES_PER_SECOND = 9.0


def script(prompt: Prompt) -> str | None:
    """Lyrics in letters that the language is not written in."""
    return writing_systems.mismatch(_without_tags(prompt.lyrics), prompt.language)


def instrumental(prompt: Prompt) -> str | None:
    """No voice, but a chosen language."""
    if prompt.lyrics.strip().lower() != INSTRUMENTAL or prompt.language in (DEFAULT_LANGUAGE, "unknown"):
        return None
    return f"the lyrics are [Instrumental] and language is {prompt.language}: write lyrics, or set language to unknown"


def instrumental_lyrics(prompt: Prompt) -> str | None:
    """No voice, and words for it."""
    if INSTRUMENTAL not in prompt.lyrics.lower() or not _without_tags(prompt.lyrics).strip():
        return None
    return "the lyrics hold [Instrumental] and words: for music without a voice leave only [Instrumental]"


def tempo(prompt: Prompt) -> str | None:
    """A tempo in the caption that differs from the metadata."""
    caption_bpm = re.findall(r"\b(\d{2,3})\s*-?\s*bpm\b", prompt.caption, re.IGNORECASE)
    bpm = prompt.metadata.bpm
    if bpm is None or not caption_bpm or any(abs(int(number) - bpm) <= 2 for number in caption_bpm):
        return None
    return f"the caption says {caption_bpm[0]} bpm and the bpm input {bpm}: make them agree, or set the input to 0"


def key(prompt: Prompt) -> str | None:
    """A key in the caption that differs from the metadata."""
    keys, key_scale = re.findall(f"({KEY}){ACCIDENTAL}{MODE}", prompt.caption), prompt.metadata.key_scale
    if key_scale is None or not keys:
        return None
    note, _, mode = key_scale.partition(" ")
    if _pitch(note[0], note[1:], mode) in [_pitch(*caption_key) for caption_key in keys]:
        return None
    first = f"{keys[0][0]}{keys[0][1]} {keys[0][2]}"
    return f"the caption says {first} and the key_scale input {key_scale}: make them agree, or set the input to auto"


def metre(prompt: Prompt) -> str | None:
    """A time signature in the caption that differs from the metadata."""
    caption_beats = re.findall(r"\b([2346])/[48]\b", prompt.caption)
    beats = prompt.metadata.time_signature
    if beats is None or not caption_beats or beats in caption_beats:
        return None
    return (
        f"the caption names {caption_beats[0]} beats and the time_signature input {beats}: make them agree, or set it "
        "to auto"
    )


def too_many_words(prompt: Prompt) -> str | None:
    """More lyrics than anybody can sing in the time."""
    seconds, count = prompt.metadata.duration, writing_systems.syllables(_without_tags(prompt.lyrics))
    if seconds is None or count <= SYLLABLES_PER_SECOND * seconds:
        return None
    return (
        f"about {count} syllables of lyrics in {seconds:g} seconds are {count / seconds:.0f} a second: "
        f"give the song at least {count / SYLLABLES_PER_SECOND * 2:.0f} seconds, or shorten the lyrics"
    )


def _without_tags(lyrics: str) -> str:
    """Lyrics without their section tags."""
    return re.sub(r"\[[^\]]*\]", " ", lyrics)


def _pitch(note: str, accidental: str, mode: str) -> tuple[int, str]:
    """A key as a pitch class and a mode, so that F# and Gb are one."""
    sharp, flat = "sharp" in accidental or accidental in ("#", "♯"), "flat" in accidental or accidental in ("b", "♭")
    natural = ("C", "", "D", "", "E", "F", "", "G", "", "A", "", "B").index(note)
    return (natural + sharp - flat) % 12, mode[:3].lower()

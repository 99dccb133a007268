"""What is probably not meant, said in a sentence: one table of checks, each a function of plain facts.

A hint never changes what is done. A check that is in doubt says nothing: normal use has no hints.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .. import parameters
from ..model.prompt import Prompt
from ..sampler.presets import PRESETS
from . import writing_systems

INSTRUMENTAL = "[instrumental]"
# The widget's own default, which says nothing about what the user wants.
DEFAULT_LANGUAGE = parameters.get("language").default
# Official inference writes this many seconds into a prompt that was told none.
UNTOLD_SECONDS = 30
# "A major success" is no key: an A without a sign needs a word before it.
KEY = r"(?:\b[B-G]|\bA(?=\s?[#♯b♭]|[- ](?:sharp|flat|min))|(?<=in )A|(?<=key )A|(?<=of )A|(?<=: )A)"
SIGN, MODE = r"\s?(#|♯|b|♭|[- ]sharp|[- ]flat)?", r"[- ]((?i:major|minor|maj|min))\b"
# More than the fastest rap; what does not fit is left out or slurred.
SYLLABLES_PER_SECOND = 9.0
# How far from a checkpoint's own numbers nobody has reported good songs.
FEWEST, MOST = 0.4, 3.0
SHIFTS = (1.0, 6.0)


@dataclass(frozen=True)
class Steering:
    """What the guider knows. kind, name: of the checkpoint. negative: whether a negative prompt says something."""

    kind: str
    name: str
    scale: float
    negative: bool
    negative_weight: float


@dataclass(frozen=True)
class Run:
    """What the sampler knows. seconds: of the song. told: the seconds in its prompt, 0 for none given, None where
    another node wrote the prompt. asked: the task of the prompt, None where it is not known. done: the task of the
    run. codes: whether the prompt brings audio codes."""

    kind: str
    name: str
    sigmas: tuple[float, ...]
    seconds: float
    told: float | None
    asked: str | None
    done: str
    codes: bool


def find(stage: str, facts: Any) -> list[str]:
    """Everything there is to say at a stage, a key of CHECKS, about its facts."""
    if stage not in CHECKS:
        raise KeyError(f"no checks for {stage!r}; known: {', '.join(CHECKS)}")
    return [said for check in CHECKS[stage].values() if (said := check(facts))]


def script(prompt: Prompt) -> str | None:
    """Lyrics in letters that the language is not written in."""
    return writing_systems.mismatch(_sung(prompt.lyrics), prompt.language)


def instrumental(prompt: Prompt) -> str | None:
    """No voice, but a language that somebody chose for it."""
    if prompt.lyrics.strip().lower() != INSTRUMENTAL or prompt.language in (DEFAULT_LANGUAGE, "unknown"):
        return None
    return f"the lyrics are [Instrumental] and language is {prompt.language}: write lyrics, or set language to unknown"


def instrumental_lyrics(prompt: Prompt) -> str | None:
    """No voice, and words for it."""
    if INSTRUMENTAL not in prompt.lyrics.lower() or not _sung(prompt.lyrics).strip():
        return None
    return "the lyrics hold [Instrumental] and words: for music without a voice leave only [Instrumental]"


def tempo(prompt: Prompt) -> str | None:
    """A tempo in the caption beside another one in the metadata."""
    named, bpm = re.findall(r"\b(\d{2,3})\s*-?\s*bpm\b", prompt.caption, re.IGNORECASE), prompt.metadata.bpm
    if bpm is None or not named or any(abs(int(number) - bpm) <= 2 for number in named):
        return None
    return f"the caption says {named[0]} bpm and the bpm input {bpm}: make them agree, or set the input to 0"


def key(prompt: Prompt) -> str | None:
    """A key in the caption beside another one in the metadata."""
    found = re.findall(f"({KEY}){SIGN}{MODE}", prompt.caption)
    named, given = [_pitch(note, sign, mode) for note, sign, mode in found], prompt.metadata.key_scale
    if given is None or not named:
        return None
    note, _, mode = given.partition(" ")
    if _pitch(note[0], note[1:], mode) in named:
        return None
    said = " ".join(("".join(found[0][:2]), found[0][2]))
    return f"the caption says {said} and the key_scale input {given}: make them agree, or set the input to auto"


def metre(prompt: Prompt) -> str | None:
    """A time signature in the caption beside another one in the metadata."""
    named, beats = re.findall(r"\b([2346])/[48]\b", prompt.caption), prompt.metadata.time_signature
    if beats is None or not named or beats in named:
        return None
    return (
        f"the caption names {named[0]} beats and the time_signature input {beats}: make them agree, or set it to auto"
    )


def too_many_words(prompt: Prompt) -> str | None:
    """More lyrics than anybody can sing in that time."""
    seconds, count = prompt.metadata.duration, writing_systems.syllables(_sung(prompt.lyrics))
    if seconds is None or count <= SYLLABLES_PER_SECOND * seconds:
        return None
    return (
        f"about {count} syllables of lyrics in {seconds:g} seconds are {count / seconds:.0f} a second: "
        f"give the song at least {count / SYLLABLES_PER_SECOND * 2:.0f} seconds, or shorten the lyrics"
    )


def turbo_guidance(steering: Steering) -> str | None:
    """Guidance where it was distilled away."""
    if steering.kind != "turbo" or steering.scale <= 1:
        return None
    return f"{steering.name} was trained to run without guidance and turns harsh with it: set scale to 1"


def idle_negative(steering: Steering) -> str | None:
    """A negative prompt that nothing reads."""
    if not steering.negative or (steering.scale > 1 and steering.negative_weight > 0):
        return None
    cause = "scale is 1" if steering.scale <= 1 else "negative_weight is 0"
    return f"the negative prompt does nothing while {cause}: set it above, or disconnect the prompt"


def steps(run: Run) -> str | None:
    """Far fewer or more steps than the checkpoint was made for."""
    usual = PRESETS.get(run.kind)
    count = len(run.sigmas) - 1
    if usual is None or not _whole(run) or FEWEST * usual.steps <= count <= MOST * usual.steps:
        return None
    effect = "it sounds unfinished" if count < usual.steps else "more bring nothing"
    return f"{count} steps on {run.name}: {effect}; it is usually run with {usual.steps}"


def shift(run: Run) -> str | None:
    """A shift that the checkpoint was never run with."""
    found = shift_of(run.sigmas) if run.kind in PRESETS and _whole(run) else None
    if found is None or SHIFTS[0] - 0.01 <= found <= SHIFTS[1] + 0.01:
        return None
    return f"shift {found:.2g} on {run.name}: usual is {PRESETS[run.kind].shift:g}, and 1 to {SHIFTS[1]:g} work"


def length(run: Run) -> str | None:
    """A prompt that tells another length than the song has."""
    if run.told is None:
        return None
    told = run.told or UNTOLD_SECONDS
    if abs(told - run.seconds) <= max(2.0, 0.1 * run.seconds):
        return None
    said = f"says {told:g} seconds" if run.told else f"tells no length, which the model reads as {told} seconds,"
    return (
        f"the prompt {said} and the song has {run.seconds:g}: connect the latent node's seconds to the encode node's "
        "duration"
    )


def task(run: Run) -> str | None:
    """A prompt that was encoded for something else."""
    # Audio codes in the prompt are a cover without a source of its own.
    if run.asked in (None, run.done) or (run.codes and run.asked == "cover"):
        return None
    if run.done == "text2music":
        return (
            f"the prompt was encoded for {run.asked} and no source is set up; set the encode node's task to text2music"
        )
    return f"the prompt was encoded for {run.asked} and the source is set up for {run.done}; set the encode node's task"


def shift_of(sigmas: Sequence[float]) -> float | None:
    """The shift of a linear schedule, sigma = s u / (1 + (s - 1) u); None for any other schedule."""
    count = len(sigmas) - 1
    if count < 3:
        return None
    middle = count // 2
    u, sigma = 1 - middle / count, sigmas[middle]
    if not 0 < sigma < 1:
        return None
    shift = sigma * (1 - u) / (u * (1 - sigma))
    linear = [shift * v / (1 + (shift - 1) * v) for v in (1 - i / count for i in range(count + 1))]
    return shift if all(abs(a - b) < 1e-3 for a, b in zip(sigmas, linear, strict=True)) else None


def _whole(run: Run) -> bool:
    """Whether the schedule goes from noise to a clean latent; a part of one has fewer steps for good reason."""
    return run.sigmas[0] > 0.99 and run.sigmas[-1] == 0


def _sung(lyrics: str) -> str:
    """Lyrics without their section tags."""
    return re.sub(r"\[[^\]]*\]", " ", lyrics)


def _pitch(note: str, sign: str, mode: str) -> tuple[int, str]:
    """A key as a pitch class and a mode, so that F# and Gb are one."""
    offset = 1 if "sharp" in sign or sign in ("#", "♯") else -1 if "flat" in sign or sign in ("b", "♭") else 0
    return (("C", "", "D", "", "E", "F", "", "G", "", "A", "", "B").index(note) + offset) % 12, mode[:3].lower()


CHECKS: dict[str, dict[str, Callable[[Any], str | None]]] = {
    "prompt": {
        "script": script,
        "instrumental": instrumental,
        "instrumental lyrics": instrumental_lyrics,
        "tempo": tempo,
        "key": key,
        "metre": metre,
        "too many words": too_many_words,
    },
    "guidance": {
        "turbo guidance": turbo_guidance,
        "idle negative": idle_negative,
    },
    "run": {"steps": steps, "shift": shift, "length": length, "task": task},
}

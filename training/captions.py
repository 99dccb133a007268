"""What is said about a song: captions, lyrics and metadata in the words of the project's prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from acestep_xl.model.prompt import Metadata, Prompt, instruction

from . import sounds
from .composer import Plan, beat_of, draw

LEVEL_WORDS = {"loud": ("loud", "powerful", "energetic"), "soft": ("soft", "quiet", "gentle")}
TONE_WORDS = {True: ("bright", "sparkling", "shiny"), False: ("dark", "mellow", "muffled")}
DRUM_WORDS = {
    True: ("with drums", "driving drums", "drum kit with hi-hats"),
    False: ("no drums", "without drums", "drumless"),
}
CHORD_WORDS = {"pad": ("warm synth pad", "sustained pad", "organ chords"), "piano": ("piano chords", "electric piano")}
LEAD_WORDS = {
    "pluck": ("plucked melody", "music box lead", "guitar melody"),
    "voice": ("singing voice", "vocals", "a singer"),
    "none": ("no melody", "only chords and bass"),
}
NOUNS = ("song", "track", "piece", "tune", "music")
FLATS = {"C#": "Db", "D#": "Eb", "F#": "Gb", "G#": "Ab", "A#": "Bb"}
INSTRUMENTAL = "[Instrumental]"
# What can be told wrongly, and the fields of a plan that it consists of.
FACTS = {
    "tempo": ("bpm",),
    "key": ("tonic", "mode"),
    "loudness": ("level",),
    "brightness": ("bright",),
    "drums": ("drums",),
}


def tempo_word(bpm: int) -> str:
    return "slow" if bpm < 85 else "fast" if bpm > 135 else "mid-tempo"


def caption(plan: Plan, rng: np.random.Generator, omit: float = 0.0) -> str:
    """One sentence; each fact is left out with probability omit."""

    def pick(words: tuple[str, ...]) -> str:
        return str(words[int(rng.integers(len(words)))])

    first = [pick(LEVEL_WORDS[plan.level]), pick(TONE_WORDS[plan.bright])]
    rest = [pick(DRUM_WORDS[plan.drums]), pick(CHORD_WORDS[plan.chords]), pick(LEAD_WORDS[plan.lead])]
    if rng.random() < 0.5:
        first.append(tempo_word(plan.bpm))
    if rng.random() < 0.3:
        rest.append(f"in {spelled(plan, rng)}")
    if rng.random() < 0.2:
        rest.append(f"{plan.bpm} bpm")
    first, rest = ([word for word in words if rng.random() >= omit] for words in (first, rest))
    rng.shuffle(first)
    rng.shuffle(rest)
    head = f"{', '.join(first)} {pick(NOUNS)}".strip()
    return ", ".join([head, *rest]) if rng.random() < 0.8 else ", ".join([*rest, head])


def spelled(plan: Plan, rng: np.random.Generator) -> str:
    """The key, sometimes by its flat."""
    note = sounds.PITCH_CLASSES[plan.tonic]
    return f"{FLATS.get(note, note) if rng.random() < 0.4 else note} {plan.mode}"


def lyrics(plan: Plan) -> str:
    """The voice's lines under section tags, or the word for none."""
    if plan.lead != "voice":
        return INSTRUMENTAL
    half = -(-len(plan.lines) // 2)
    parts = [("[Verse]", plan.lines[:half]), ("[Chorus]", plan.lines[half:])]
    return "\n\n".join("\n".join([tag, *map(" ".join, lines)]) for tag, lines in parts if lines)


def near_tempo(plan: Plan, rng: np.random.Generator) -> int:
    """A tempo that has no beat of its own and falls on the plan's."""
    low, high = (round(plan.bpm * factor) for factor in (0.9, 1.12))
    return int(rng.choice([bpm for bpm in range(low, high + 1) if beat_of(bpm) == plan.beat]))


def mistaken(plan: Plan, rng: np.random.Generator, wrong: Mapping[str, float]) -> Plan:
    """A plan as someone describes it who is wrong now and then: with its probability in wrong, 0 where it is not there,
    each of FACTS is another song's."""
    other = draw(int(rng.integers(2**31)), plan.seconds)
    told = {}
    for fact, names in FACTS.items():
        said = plan if rng.random() >= wrong.get(fact, 0.0) else other
        told |= {name: getattr(said, name) for name in names}
    return replace(plan, **told)


def prompt(
    plan: Plan, rng: np.random.Generator, task: str = "text2music", omit: float = 0.0, near: float = 0.0
) -> Prompt:
    """Everything the text encoder reads for a plan.

    With omit, caption words and metadata are left out at random; near: how often another tempo is said that falls on
    the plan's.
    """
    if rng.random() < near:
        plan = replace(plan, bpm=near_tempo(plan, rng))
    keep = rng.random(3) >= omit
    metadata = Metadata(
        bpm=plan.bpm if keep[0] else None,
        time_signature=str(plan.metre) if keep[1] else None,
        key_scale=spelled(plan, rng) if keep[2] else None,
        duration=float(plan.seconds),
    )
    language = "en" if plan.lead == "voice" else "unknown"
    return Prompt(caption(plan, rng, omit), lyrics(plan), language, metadata, instruction(task))


def sound_only(plan: Plan, task: str) -> Prompt:
    """A prompt that tells how a song sounds, and neither its tempo nor its metre nor its key."""
    words = (LEVEL_WORDS[plan.level][0], TONE_WORDS[plan.bright][0])
    rest = (DRUM_WORDS[plan.drums][0], CHORD_WORDS[plan.chords][0], LEAD_WORDS[plan.lead][0])
    said = ", ".join([f"{', '.join(words)} {NOUNS[0]}", *rest])
    language = "en" if plan.lead == "voice" else "unknown"
    return Prompt(said, lyrics(plan), language, Metadata(duration=float(plan.seconds)), instruction(task))

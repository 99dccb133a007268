"""Captions, lyrics and metadata of a song, as the project's prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from acestep_xl.model.prompt import Metadata, Prompt, instruction

from . import sounds
from .composer import Plan, beat_of, draw_plan

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
# Facts that a prompt can get wrong, and the fields of a plan that make them up.
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
        rest.append(f"in {spell_key(plan, rng)}")
    if rng.random() < 0.2:
        rest.append(f"{plan.bpm} bpm")
    first, rest = ([word for word in words if rng.random() >= omit] for words in (first, rest))
    rng.shuffle(first)
    rng.shuffle(rest)
    head = f"{', '.join(first)} {pick(NOUNS)}".strip()
    return ", ".join([head, *rest]) if rng.random() < 0.8 else ", ".join([*rest, head])


def spell_key(plan: Plan, rng: np.random.Generator) -> str:
    """The key, sometimes spelled with a flat."""
    note = sounds.PITCH_CLASSES[plan.tonic]
    return f"{FLATS.get(note, note) if rng.random() < 0.4 else note} {plan.mode}"


def lyrics(plan: Plan) -> str:
    """The voice's lines under section tags, or the tag for instrumental music."""
    if plan.lead != "voice":
        return INSTRUMENTAL
    half = -(-len(plan.lines) // 2)
    parts = [("[Verse]", plan.lines[:half]), ("[Chorus]", plan.lines[half:])]
    return "\n\n".join("\n".join([tag, *map(" ".join, lines)]) for tag, lines in parts if lines)


def near_tempo(plan: Plan, rng: np.random.Generator) -> int:
    """Any tempo for which the plan's beat is the nearest."""
    low, high = (round(plan.bpm * factor) for factor in (0.9, 1.12))
    return int(rng.choice([bpm for bpm in range(low, high + 1) if beat_of(bpm) == plan.beat]))


def with_mistakes(plan: Plan, rng: np.random.Generator, wrong: Mapping[str, float]) -> Plan:
    """The plan as a caption with mistakes describes it: each of FACTS is another song's with its probability in wrong.

    A fact that wrong does not list is always right.
    """
    other = draw_plan(int(rng.integers(2**31)), plan.seconds)
    described = {}
    for fact, names in FACTS.items():
        source = plan if rng.random() >= wrong.get(fact, 0.0) else other
        described |= {name: getattr(source, name) for name in names}
    return replace(plan, **described)


def prompt(
    plan: Plan, rng: np.random.Generator, task: str = "text2music", omit: float = 0.0, near: float = 0.0
) -> Prompt:
    """Everything the text encoder reads for a plan.

    omit: probability of leaving out each caption word and metadata field; near: probability of another tempo with the
    same beat.
    """
    if rng.random() < near:
        plan = replace(plan, bpm=near_tempo(plan, rng))
    included = rng.random(3) >= omit
    metadata = Metadata(
        bpm=plan.bpm if included[0] else None,
        time_signature=str(plan.metre) if included[1] else None,
        key_scale=spell_key(plan, rng) if included[2] else None,
        duration=float(plan.seconds),
    )
    language = "en" if plan.lead == "voice" else "unknown"
    return Prompt(caption(plan, rng, omit), lyrics(plan), language, metadata, instruction(task))


def sound_only(plan: Plan, task: str) -> Prompt:
    """A prompt that describes the sound of a song, but neither tempo nor metre nor key."""
    words = (LEVEL_WORDS[plan.level][0], TONE_WORDS[plan.bright][0])
    rest = (DRUM_WORDS[plan.drums][0], CHORD_WORDS[plan.chords][0], LEAD_WORDS[plan.lead][0])
    caption = ", ".join([f"{', '.join(words)} {NOUNS[0]}", *rest])
    language = "en" if plan.lead == "voice" else "unknown"
    return Prompt(caption, lyrics(plan), language, Metadata(duration=float(plan.seconds)), instruction(task))

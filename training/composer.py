"""Songs from a seed, rendered exactly as they are drawn and captioned.

A song is drawn as a `Plan` (all choices), written as a `Score` (amplitudes per frame and one-shots) and rendered to a
waveform. Everything starts on a frame of 40 ms.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import numpy as np

from . import sounds
from .sounds import HOP, SPAN

SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
# Degrees of the scale, one for each bar: away from the tonic and back.
PROGRESSION = (0, 3, 4, 0)
# Notes of the chord that a lead plays on the half beats of a bar; the prompt does not say which of the two.
MELODIES = ((0, 2, 1, 2, 0, 1, 2, 1), (2, 1, 0, 1, 2, 1, 0, 1))
CHORDS = ("pad", "piano")
# Beats in frames: whole tokens of two frames, so that all bars of a song are alike; and their nominal bpm, at least 8
# percent apart.
BEATS = tuple(range(10, 25, 2))
TEMPI = tuple(round(60 * sounds.RATE / HOP / beat) for beat in BEATS)
LEVELS = {"loud": 1.0, "soft": 0.4}
SYLLABLES = ("la", "da", "oh", "ah", "ooh", "na", "hey", "moon", "sun", "night", "love", "sea", "star", "sky", "rain")
PART_GAIN = {"intro": 0.8, "verse": 0.85, "chorus": 1.15}


def beat_of(bpm: float) -> int:
    """Frames of the beat that is nearest to a tempo by ratio."""
    return min(BEATS, key=lambda beat: abs(math.log(bpm * beat * HOP / (60 * sounds.RATE))))


@dataclass(frozen=True)
class Plan:
    """Every choice of a song. seconds: whole seconds; metre: beats per bar; tonic: pitch class 0 (C) to 11."""

    seed: int
    seconds: int
    bpm: int
    metre: int
    tonic: int
    mode: str
    level: str
    bright: bool
    drums: bool
    chords: str
    lead: str
    melody: int
    lines: tuple[tuple[str, ...], ...] = ()

    @property
    def key(self) -> str:
        return f"{sounds.PITCH_CLASSES[self.tonic]} {self.mode}"

    @property
    def frames(self) -> int:
        return self.seconds * sounds.RATE // HOP

    @property
    def beat(self) -> int:
        """Frames per beat."""
        return beat_of(self.bpm)


@dataclass
class Score:
    """Amplitudes of everything that sounds.

    chords, lead, shine: `[t 12]`, the pitch classes in octave 4, 5, and 6 with 7; hat, snare: `[t]`; shots: one-shots
    as (name, frame, amplitude); parts: (name, first frame) of the sections.
    """

    chords: np.ndarray
    lead: np.ndarray
    shine: np.ndarray
    hat: np.ndarray
    snare: np.ndarray
    shots: list[tuple[str, int, float]] = field(default_factory=list)
    parts: list[tuple[str, int]] = field(default_factory=list)


def empty_score(frames: int) -> Score:
    """A score in which nothing sounds."""
    chords, lead, shine = np.zeros((3, frames, 12))
    hat, snare = np.zeros((2, frames))
    return Score(chords, lead, shine, hat, snare)


def draw_plan(seed: int, seconds: int) -> Plan:
    """A song of this length; the same seed gives the same song."""
    rng = np.random.default_rng(seed)
    mode = str(rng.choice(("major", "minor")))
    lead = str(rng.choice(("voice", "pluck", "none"), p=(0.3, 0.45, 0.25)))
    lines: tuple[tuple[str, ...], ...] = ()
    if lead == "voice":
        count = int(rng.integers(1, 5))
        lines = tuple(tuple(map(str, rng.choice(SYLLABLES, int(rng.integers(3, 7))))) for _ in range(count))
    return Plan(
        seed=seed,
        seconds=seconds,
        bpm=int(rng.choice(TEMPI)),
        metre=int(rng.choice((3, 4), p=(0.3, 0.7))),
        tonic=int(rng.integers(12)),
        mode=mode,
        level=str(rng.choice(tuple(LEVELS))),
        bright=bool(rng.integers(2)),
        drums=bool(rng.random() < 0.6),
        chords=str(rng.choice(CHORDS)),
        lead=lead,
        melody=int(rng.integers(len(MELODIES))),
        lines=lines,
    )


def triad(plan: Plan, degree: int) -> tuple[int, int, int]:
    """Pitch classes of the chord on a degree of the scale; in minor the fifth degree is a major chord."""
    scale = SCALES[plan.mode]
    root, third, fifth = (scale[(degree + step) % 7] for step in (0, 2, 4))
    if plan.mode == "minor" and degree == 4:
        third = (third + 1) % 12
    return (root + plan.tonic) % 12, (third + plan.tonic) % 12, (fifth + plan.tonic) % 12


def part_of(bar: int) -> str:
    """The first bar is an intro; then verse and chorus alternate every four bars."""
    return "intro" if bar == 0 else "chorus" if bar // 4 % 2 else "verse"


def write_score(plan: Plan) -> Score:
    """The score of a plan."""
    t = plan.frames
    out = empty_score(t)
    bar, start = 0, 0
    while start < t:
        part = part_of(bar)
        if not out.parts or out.parts[-1][0] != part:
            out.parts.append((part, start))
        marks = [start + half * plan.beat // 2 for half in range(2 * plan.metre + 1)]
        _bar(plan, out, part, triad(plan, PROGRESSION[bar % 4]), marks)
        bar, start = bar + 1, marks[-1]
    gain = LEVELS[plan.level]
    for track in (out.chords, out.lead, out.shine, out.hat, out.snare):
        track *= gain
    out.shots = [(name, frame, amplitude * gain) for name, frame, amplitude in out.shots if frame < t]
    return out


def _bar(plan: Plan, out: Score, part: str, chord: tuple[int, int, int], marks: list[int]) -> None:
    """Write one bar. marks: its half beats in frames, including the next bar's first."""
    gain = PART_GAIN[part]
    beats = marks[::2]
    _chords(plan, out, chord, beats, gain)
    for start in beats[:-1]:
        out.shots.append((f"bass{chord[0]}", start, 0.20 * gain))
    if plan.drums and part != "intro":
        _drums(plan, out, marks, gain)
    if plan.lead != "none" and part != "intro":
        _lead(plan, out, chord, marks, gain)


def _chords(plan: Plan, out: Score, chord: tuple[int, int, int], beats: list[int], gain: float) -> None:
    """A pad sustains for the bar, a piano strikes every beat."""
    spans = [(beats[0], beats[-1])] if plan.chords == "pad" else list(itertools.pairwise(beats))
    for start, end in spans:
        envelope = _envelope(end - start, 0.045 if plan.chords == "pad" else 0.11) * gain
        for pitch in chord:
            _add(out.chords, start, pitch, 0.085 * envelope)
            if plan.bright:
                _add(out.shine, start, pitch, 0.022 * envelope)


def _lead(plan: Plan, out: Score, chord: tuple[int, int, int], marks: list[int], gain: float) -> None:
    """A pluck plays half beats, a voice sings beats."""
    is_voice = plan.lead == "voice"
    starts = marks[::2] if is_voice else marks
    for number, (start, end) in enumerate(itertools.pairwise(starts)):
        pitch = chord[MELODIES[plan.melody][number]]
        if is_voice:
            envelope = _swell(end - start) * gain
            _add(out.lead, start, pitch, 0.13 * envelope)
            _add(out.shine, start, pitch, (0.03 if plan.bright else 0.012) * envelope)
        else:
            envelope = _envelope(end - start, 0.2) * gain
            _add(out.lead, start, pitch, 0.13 * envelope)
            if plan.bright:
                _add(out.shine, start, pitch, 0.03 * envelope)


def _drums(plan: Plan, out: Score, marks: list[int], gain: float) -> None:
    """Hats on half beats, the kick on the first beat and in the middle of four, the snare on the others."""
    for number, start in enumerate(marks[:-1]):
        if start >= len(out.hat):
            return
        out.hat[start] += (0.16 if plan.bright else 0.09) * gain * (1.0 if number % 2 == 0 else 0.6)
        beat = number // 2
        if number % 2:
            continue
        if beat == 0 or (plan.metre == 4 and beat == 2):
            out.shots.append(("kick", start, 0.42 * gain))
        else:
            out.snare[start] += 0.2 * gain
            out.shots.append(("drum", start, 0.16 * gain))


def _envelope(length: int, decay: float) -> np.ndarray:
    """A struck note: full in the first frame, decaying by a constant ratio, released in the last."""
    envelope = (1 - decay) ** np.arange(length)
    envelope[-1:] *= 0.3
    return envelope


def _swell(length: int) -> np.ndarray:
    """A sung note: rises over three frames, with a slow tremolo, and falls in the last two."""
    frame = np.arange(length)
    envelope = np.minimum(1, (frame + 1) / 3) * (1 - 0.15 * (frame // 2 % 2))
    envelope[-2:] *= (0.6, 0.2)[-len(envelope[-2:]) :]
    return envelope


def _add(track: np.ndarray, start: int, pitch: int, envelope: np.ndarray) -> None:
    end = min(len(track), start + len(envelope))
    track[start:end, pitch] += envelope[: max(0, end - start)]


def render(score: Score) -> np.ndarray:
    """The waveform `[2 n]`, float32, 48 kHz, n = frames * 1920."""
    t = len(score.hat)
    signs = np.array([[sounds.sign(sounds.grid_hertz(p, octave)) for p in range(12)] for octave in (4, 5)])
    turn = np.where(np.arange(t)[:, None, None] % 2 == 1, signs, 1)
    tones = (score.chords * turn[:, 0]) @ sounds.chord_partials()
    tones += (score.lead * turn[:, 1]) @ sounds.lead_partials() + score.shine @ sounds.shine_partials()
    hat, snare = sounds.noises()
    frames = tones[:, None] + score.hat[:, None, None] * hat + score.snare[:, None, None] * snare
    wave = np.zeros((2, (t + 1) * HOP))
    wave[:, : t * HOP] += frames[..., :HOP].transpose(1, 0, 2).reshape(2, -1)
    wave[:, HOP:] += frames[..., HOP:].transpose(1, 0, 2).reshape(2, -1)
    wave = wave[:, HOP // 2 : HOP // 2 + t * HOP]
    shots = sounds.one_shots()
    for name, frame, amplitude in score.shots:
        start = frame * HOP
        part = shots[name][: wave.shape[1] - start]
        wave[:, start : start + len(part)] += amplitude * part
    return wave.astype(np.float32)


def render_song(plan: Plan) -> np.ndarray:
    """A plan's waveform `[2 n]`."""
    return render(write_score(plan))


assert SPAN == 2 * HOP

"""Training examples, generated during training: songs as latents, with their prompts, tasks and contexts.

Everything between a score and its latents is linear and, up to the sign of odd grid frequencies, time-invariant. So
latents are the sum of impulse responses of the sounds, without a waveform in between; a test compares them with the
encoder's.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from . import captions, composer, sounds, train_vae
from .composer import Score

LEAD_IN, TAIL = 3, 12  # frames before and after a sound's start that its response spans
TRACK_REACH = 7  # frames that the response to one frame of a track spans, including the lead-in
TICK = 2.0  # amplitude of the clock
LINES = 8  # latent channels of the clock per tempo
MAX_CUT, CUT_SHARE = 100, 0.25  # frames cut from the start of a repaint's source, and how often
TASKS = (("text2music", 0.6), ("repaint", 0.3), ("cover", 0.1))


@dataclass(frozen=True)
class Example:
    """latents, and the silence latent with its clock at that position: `[t 64]`; mask: `[t]`, 1 where to generate."""

    latents: np.ndarray
    silence: np.ndarray
    mask: np.ndarray
    task: str
    caption: str
    lyrics: str


class ImpulseResponses:
    """The latents of each sound at amplitude 1, around its first frame. scale: `[64]` of the VAE."""

    def __init__(self, scale: np.ndarray) -> None:
        self._scale = scale.astype(np.float32)
        self._mix = train_vae.unmixing_filter()
        self._tracks = {name: self._track(name) for name in ("chords", "lead", "shine", "hat", "snare")}
        self._shots = {name: self._shot(name) for name in sounds.one_shots()}

    def _response(self, score: Score, at: int) -> np.ndarray:
        latents = train_vae.analyse(composer.render(score), self._mix) / self._scale
        return latents[at - LEAD_IN : at + TAIL].astype(np.float32)

    def _track(self, name: str) -> np.ndarray:
        """`[sounds frames 64]`."""
        at, rows = 6, []  # an even frame, where all signs are positive
        for pitch in range(12 if name in ("chords", "lead", "shine") else 1):
            score = composer.empty_score(24)
            track = getattr(score, name)
            track[(at, pitch) if track.ndim == 2 else at] = 1
            rows.append(self._response(score, at))
        return np.stack(rows)

    def _shot(self, name: str) -> np.ndarray:
        score = composer.empty_score(24)
        score.shots.append((name, 6, 1.0))
        return self._response(score, 6)

    def latents(self, score: Score) -> np.ndarray:
        """The latents `[t 64]` of a score, including the mark of its beginning."""
        t = len(score.hat)
        out = np.zeros((t + LEAD_IN + TAIL, sounds.LATENTS), dtype=np.float32)
        signed = {"chords": _with_signs(score.chords, 4), "lead": _with_signs(score.lead, 5), "shine": score.shine}
        for name, response in self._tracks.items():
            track = signed.get(name)
            track = getattr(score, name)[:, None] if track is None else track
            if track.any():
                for lag in range(TRACK_REACH):
                    out[lag : lag + t] += track.astype(np.float32) @ response[:, lag]
        for name, frame, amplitude in score.shots:
            out[frame : frame + LEAD_IN + TAIL] += amplitude * self._shots[name]
        out = out[LEAD_IN : LEAD_IN + t]
        out[0, train_vae.MARK_CHANNEL] += train_vae.MARK
        return out


@functools.cache
def _signs(octave: int) -> np.ndarray:
    return np.array([sounds.sign(sounds.grid_hertz(p, octave)) for p in range(12)])


def _with_signs(track: np.ndarray, octave: int) -> np.ndarray:
    odd = np.arange(len(track))[:, None] % 2 == 1
    return np.where(odd, track * _signs(octave), track)


@functools.cache
def silence(frames: int) -> np.ndarray:
    """The silence latent `[t 64]`: encoded silence, and the clock.

    Without a source the network still learns its position in the song, in every tempo at once, which its relative
    rotary positions can't tell. Each tempo has eight channels; even and odd frames, the two halves of a token, carry
    different lines of the clock.
    """
    tokens = -(-frames // 2)
    out = np.zeros((tokens, 2, sounds.LATENTS), dtype=np.float32)
    for number, beat in enumerate(composer.BEATS):
        lines = TICK * clock(tokens, beat)
        out[:, 0, LINES * number : LINES * (number + 1)] = lines[:, :LINES]
        out[:, 1, LINES * number : LINES * (number + 1)] = lines[:, LINES:]
    out = out.reshape(-1, sounds.LATENTS)[:frames]
    out[0, train_vae.MARK_CHANNEL] += train_vae.MARK
    return out


def clock(tokens: int, beat: int) -> np.ndarray:
    """The position `[tokens 16]` in a song with this beat: in the beat, in bars of four and three, in the
    progression."""
    number, phase = np.divmod(2 * np.arange(tokens), beat)
    four, three = number // 4, number // 3
    lines = [phase == 0, phase == 2, phase / 24, phase == beat // 4 * 2, phase == beat - 2]
    lines += [number % 4 == 0, number % 4 == 2, number % 3 == 0]
    for bar in (four, three):
        lines += [bar % 4 == 1, bar % 4 == 2, bar // 4 % 2 == 1, bar == 0]
    return np.stack(lines, axis=1).astype(np.float32)


def make_example(
    seed: int,
    seconds: int,
    responses: ImpulseResponses,
    crop: int | None = None,
    wrong: Mapping[str, float] | None = None,
) -> Example:
    """One example; the same seed gives the same one.

    crop: frames of a part of the song, None for all of it. wrong: how often each of `captions.FACTS` in the prompt is
    another song's, None for never.
    """
    rng = np.random.default_rng((seed, 2))
    plan = composer.draw_plan(seed, seconds)
    task = str(rng.choice([name for name, _ in TASKS], p=[share for _, share in TASKS]))
    # The sources of some repaints start off the clock's beats.
    cut = 2 * int(rng.integers(MAX_CUT // 2)) if task == "repaint" and rng.random() < CUT_SHARE else 0
    longer = replace(plan, seconds=seconds + MAX_CUT * sounds.HOP // sounds.RATE) if cut else plan
    latents = responses.latents(composer.write_score(longer))[cut : cut + plan.frames]
    described = captions.with_mistakes(plan, rng, wrong or {})
    prompt = captions.prompt(described, rng, task, omit=0.05 if task == "text2music" else 0.2, near=0.3)
    start = 0 if crop is None else 2 * int(rng.integers((plan.frames - crop) // 2 + 1))
    part = slice(start, plan.frames if crop is None else start + crop)
    latents = latents[part]
    mask = np.ones(len(latents), dtype=np.float32)
    if task == "repaint":
        mask = draw_region(rng, len(latents))
    return Example(latents, silence(plan.frames)[part], mask, task, prompt.caption_text, prompt.lyric_text)


def draw_region(rng: np.random.Generator, frames: int) -> np.ndarray:
    """The mask of a repaint: a span inside, the end (extend) or the beginning."""
    length = int(rng.integers(frames // 6, frames * 2 // 3))
    kind = rng.random()
    start = frames - length if kind < 0.35 else 0 if kind < 0.45 else int(rng.integers(0, frames - length))
    mask = np.zeros(frames, dtype=np.float32)
    mask[start : start + length] = 1
    return mask

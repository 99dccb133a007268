"""Training examples, made while training runs: songs as latents, with their prompts, tasks and contexts.

Everything between a score and its latents is linear and, up to the sign of odd grid frequencies, the same in every
frame. So latents are put together from the answer to one unit of each sound, without a waveform in between; a test
holds them against the encoder's.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

from . import captions, composer, sounds, train_vae
from .composer import Score

LEAD_IN, TAIL = 3, 12  # frames before and after a sound's start that its answer reaches
TRACK_REACH = 7  # frames that the answer to one frame of a track reaches, the lead-in included
TICK, FIRST_TICK = 3.0, 8  # of the clock: how high, and in which channel it begins
LATEST_CUT = 100  # frames that a repaint's source may have lost at its start
TASKS = (("text2music", 0.6), ("repaint", 0.25), ("cover", 0.15))


@dataclass(frozen=True)
class Example:
    """latents: `[t 64]`; mask: `[t]`, 1 where the music is to be made."""

    latents: np.ndarray
    mask: np.ndarray
    task: str
    caption: str
    lyrics: str


class Answers:
    """Latents of one unit of each sound, around its first frame. scale: `[64]` of the VAE."""

    def __init__(self, scale: np.ndarray) -> None:
        self._scale = scale.astype(np.float32)
        self._mix = train_vae.unmix()
        self._tracks = {name: self._track(name) for name in ("chords", "lead", "shine", "hat", "snare")}
        self._shots = {name: self._shot(name) for name in sounds.one_shots()}

    def _answer(self, write: Score, at: int) -> np.ndarray:
        numbers = train_vae.numbers(composer.render(write), self._mix) / self._scale
        return numbers[at - LEAD_IN : at + TAIL].astype(np.float32)

    def _track(self, name: str) -> np.ndarray:
        """`[sounds frames 64]`."""
        at, found = 6, []  # an even frame, where all signs are positive
        for pitch in range(12 if name in ("chords", "lead", "shine") else 1):
            write = composer.empty(24)
            track = getattr(write, name)
            track[(at, pitch) if track.ndim == 2 else at] = 1
            found.append(self._answer(write, at))
        return np.stack(found)

    def _shot(self, name: str) -> np.ndarray:
        write = composer.empty(24)
        write.shots.append((name, 6, 1.0))
        return self._answer(write, 6)

    def latents(self, written: Score) -> np.ndarray:
        """`[t 64]` of a score, the mark of its beginning included."""
        t = len(written.hat)
        out = np.zeros((t + LEAD_IN + TAIL, sounds.LATENTS), dtype=np.float32)
        turned = {"chords": _turned(written.chords, 4), "lead": _turned(written.lead, 5), "shine": written.shine}
        for name, answer in self._tracks.items():
            track = turned.get(name)
            track = getattr(written, name)[:, None] if track is None else track
            if track.any():
                for lag in range(TRACK_REACH):
                    out[lag : lag + t] += track.astype(np.float32) @ answer[:, lag]
        for name, frame, amplitude in written.shots:
            out[frame : frame + LEAD_IN + TAIL] += amplitude * self._shots[name]
        out = out[LEAD_IN : LEAD_IN + t]
        out[0, train_vae.MARK_CHANNEL] += train_vae.MARK
        return out


@functools.cache
def _signs(octave: int) -> np.ndarray:
    return np.array([sounds.sign(sounds.grid_hertz(p, octave)) for p in range(12)])


def _turned(track: np.ndarray, octave: int) -> np.ndarray:
    odd = np.arange(len(track))[:, None] % 2 == 1
    return np.where(odd, track * _signs(octave), track)


def silence(frames: int) -> np.ndarray:
    """`[t 64]` the silence latent: what the encoder makes of silence, and the clock.

    Where nothing is given the network is told the time: for every length of a beat, three channels tick on beats, on
    bars of four and on bars of three. Its rotary positions are relative and can't tell where the beats of a song lie.
    """
    out = np.zeros((frames, sounds.LATENTS), dtype=np.float32)
    for number, beat in enumerate(composer.BEATS):
        for kind, beats in enumerate((1, 4, 3)):
            out[:: beat * beats, FIRST_TICK + 3 * number + kind] = TICK
    out[0, train_vae.MARK_CHANNEL] += train_vae.MARK
    return out


def example(seed: int, seconds: int, answers: Answers) -> Example:
    """One example; the same seed gives the same one."""
    rng = np.random.default_rng((seed, 2))
    plan = composer.draw(seed, seconds)
    task = str(rng.choice([name for name, _ in TASKS], p=[share for _, share in TASKS]))
    # Half of the repaints have a source whose beats the clock does not know.
    cut = 2 * int(rng.integers(LATEST_CUT // 2)) if task == "repaint" and rng.random() < 0.5 else 0
    longer = replace(plan, seconds=seconds + LATEST_CUT * sounds.HOP // sounds.RATE) if cut else plan
    latents = answers.latents(composer.score(longer))[cut : cut + plan.frames]
    prompt = captions.prompt(plan, rng, task, omit=0.08 if task == "text2music" else 0.3)
    mask = np.ones(len(latents), dtype=np.float32)
    if task == "repaint":
        mask = region(rng, len(latents))
    return Example(latents, mask, task, prompt.caption_text, prompt.lyric_text)


def region(rng: np.random.Generator, frames: int) -> np.ndarray:
    """What a repaint makes anew: a span inside, the end (extend) or the beginning."""
    length = int(rng.integers(frames // 6, frames * 2 // 3))
    kind = rng.random()
    start = frames - length if kind < 0.35 else 0 if kind < 0.45 else int(rng.integers(0, frames - length))
    mask = np.zeros(frames, dtype=np.float32)
    mask[start : start + length] = 1
    return mask

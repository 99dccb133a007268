"""Musical measurements of audio with librosa. Thresholds are set on composed songs, never on a model's.

Loudness, brightness and drums are each one number of the audio against a threshold; tempo and key are estimates.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import librosa
import numpy as np

from . import composer, sounds
from .composer import Plan

RATE = 22050
HOP = 256
TEMPO_TOLERANCE = 0.04
OCTAVES = (0.5, 1.0, 2.0)
# Albrecht and Shanahan (2013): how often each semitone above the tonic occurs in pieces of a key.
PROFILES = {
    "major": (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081),
    "minor": (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052),
}
# Hertz: what overtones and what only drums fill.
BANDS = {"bright": (950.0, 4300.0), "drums": (5500.0, 11000.0)}


@dataclass(frozen=True)
class Measured:
    """tempo: beats per minute; key: such as "C# minor"; the rest are the numbers that thresholds divide."""

    tempo: float
    key: str
    loudness: float
    brightness: float
    drums: float


@dataclass(frozen=True)
class Thresholds:
    """Above: loud, bright, with drums."""

    loudness: float
    brightness: float
    drums: float


def measure(wave: np.ndarray) -> Measured:
    """Of `[2 n]` at 48 kHz."""
    mono = librosa.resample(wave.mean(axis=0).astype(np.float32), orig_sr=sounds.RATE, target_sr=RATE)
    level = float(np.sqrt((mono**2).mean())) + 1e-9
    # A little noise far below the music, so that digital silence has a spectrum.
    mono = mono / level + 1e-4 * np.random.default_rng(0).standard_normal(len(mono)).astype(np.float32)
    power = np.abs(librosa.stft(mono, n_fft=2048, hop_length=HOP)) ** 2
    frequency = librosa.fft_frequencies(sr=RATE, n_fft=2048)
    total = power.sum(axis=0) + 1e-6 * power.sum(axis=0).mean()
    shares = {
        name: power[(frequency >= low) & (frequency < high)].sum(axis=0) / total for name, (low, high) in BANDS.items()
    }
    return Measured(
        tempo(mono),
        key(mono),
        20 * np.log10(level),
        10 * np.log10(float(np.median(shares["bright"])) + 1e-9),
        10 * np.log10(float(np.quantile(shares["drums"], 0.95)) + 1e-9),
    )


def tempo(mono: np.ndarray) -> float:
    """librosa's estimate from the autocorrelation of onset strength."""
    strength = librosa.onset.onset_strength(y=mono, sr=RATE, hop_length=HOP)
    return float(librosa.feature.tempo(onset_envelope=strength, sr=RATE, hop_length=HOP, ac_size=6.0)[0])


def key(mono: np.ndarray) -> str:
    """The profile that correlates best with the mean chroma."""
    chroma = librosa.feature.chroma_cqt(y=mono, sr=RATE, hop_length=512, fmin=librosa.note_to_hz("C2"), n_octaves=5)
    mean = chroma.mean(axis=1)
    scores = {
        f"{sounds.PITCH_CLASSES[tonic]} {mode}": float(np.corrcoef(mean, np.roll(profile, tonic))[0, 1])
        for mode, profile in PROFILES.items()
        for tonic in range(12)
    }
    return max(scores, key=lambda name: scores[name])


def tempo_agrees(found: float, wanted: float) -> bool:
    return any(abs(found / (wanted * factor) - 1) <= TEMPO_TOLERANCE for factor in OCTAVES)


def obeyed(found: Measured, plan: Plan, limits: Thresholds) -> dict[str, bool]:
    """Which wishes of a plan the audio fulfils."""
    return {
        "tempo": tempo_agrees(found.tempo, plan.bpm),
        "key": found.key == plan.key,
        "drums": (found.drums > limits.drums) == plan.drums,
        "loud or soft": (found.loudness > limits.loudness) == (plan.level == "loud"),
        "bright or dark": (found.brightness > limits.brightness) == plan.bright,
    }


def calibrate(seed: int, songs: int, seconds: int) -> Thresholds:
    """Thresholds that divide composed songs best."""
    plans = [composer.draw(seed + i, seconds) for i in range(songs)]
    found = [measure(composer.song(plan)) for plan in plans]
    return Thresholds(
        divide([m.loudness for m in found], [plan.level == "loud" for plan in plans]),
        divide([m.brightness for m in found], [plan.bright for plan in plans]),
        divide([m.drums for m in found], [plan.drums for plan in plans]),
    )


def divide(values: Sequence[float], high: Sequence[bool]) -> float:
    """The threshold with the fewest values on the wrong side; the middle of the widest such gap."""
    ordered = sorted(zip(values, high, strict=True))
    wrong = sum(not is_high for _, is_high in ordered)  # everything counted as high
    best, cut = (wrong, 0.0), ordered[0][0] - 1.0
    for (value, is_high), (following, _) in itertools.pairwise(ordered):
        wrong += 1 if is_high else -1
        if (wrong, -(following - value)) < best:
            best, cut = (wrong, -(following - value)), (value + following) / 2
    return cut


def beat_offset(wave: np.ndarray, start: float, period: float) -> float:
    """How far, in periods from -0.5 to 0.5, the onsets lie from a grid of half beats.

    wave: `[2 n]` at 48 kHz that begins at ``start`` seconds of a song whose grid begins at 0; period: seconds.
    """
    mono = librosa.resample(wave.mean(axis=0).astype(np.float32), orig_sr=sounds.RATE, target_sr=RATE)
    strength = librosa.onset.onset_strength(y=mono, sr=RATE, hop_length=HOP)
    time = start + librosa.times_like(strength, sr=RATE, hop_length=HOP)
    turn = np.sum(strength * np.exp(2j * np.pi * time / period))
    return float(np.angle(turn) / (2 * np.pi))

"""Musical measurements of audio with librosa, with thresholds calibrated on composed songs, never on a model's.

Loudness, brightness and drums are each a number compared with a threshold; tempo and key are estimates.
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
# Hertz: the bands of overtones and of drums alone.
BANDS = {"bright": (950.0, 4300.0), "drums": (5500.0, 11000.0)}


@dataclass(frozen=True)
class Measurement:
    """tempo: beats per minute; key: such as "C# minor"; the rest are compared with thresholds."""

    tempo: float
    key: str
    loudness: float
    brightness: float
    drums: float


@dataclass(frozen=True)
class Thresholds:
    """Above them a song is loud, bright, and has drums."""

    loudness: float
    brightness: float
    drums: float


def measure(wave: np.ndarray) -> Measurement:
    """Measure a waveform `[2 n]` at 48 kHz."""
    mono = librosa.resample(wave.mean(axis=0).astype(np.float32), orig_sr=sounds.RATE, target_sr=RATE)
    level = float(np.sqrt((mono**2).mean())) + 1e-9
    # Noise far below the music gives digital silence a spectrum.
    mono = mono / level + 1e-4 * np.random.default_rng(0).standard_normal(len(mono)).astype(np.float32)
    power = np.abs(librosa.stft(mono, n_fft=2048, hop_length=HOP)) ** 2
    frequency = librosa.fft_frequencies(sr=RATE, n_fft=2048)
    total = power.sum(axis=0) + 1e-6 * power.sum(axis=0).mean()
    shares = {
        name: power[(frequency >= low) & (frequency < high)].sum(axis=0) / total for name, (low, high) in BANDS.items()
    }
    return Measurement(
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


def tempo_agrees(estimate: float, bpm: float) -> bool:
    return any(abs(estimate / (bpm * factor) - 1) <= TEMPO_TOLERANCE for factor in OCTAVES)


def fulfilled(song: Measurement, plan: Plan, limits: Thresholds) -> dict[str, bool]:
    """Which wishes of a plan the song fulfils."""
    return {
        "tempo": tempo_agrees(song.tempo, plan.bpm),
        "key": song.key == plan.key,
        "drums": (song.drums > limits.drums) == plan.drums,
        "loud or soft": (song.loudness > limits.loudness) == (plan.level == "loud"),
        "bright or dark": (song.brightness > limits.brightness) == plan.bright,
    }


def calibrate(seed: int, songs: int, seconds: int) -> Thresholds:
    """The thresholds that best separate composed songs."""
    plans = [composer.draw_plan(seed + i, seconds) for i in range(songs)]
    measurements = [measure(composer.render_song(plan)) for plan in plans]
    return Thresholds(
        best_threshold([m.loudness for m in measurements], [plan.level == "loud" for plan in plans]),
        best_threshold([m.brightness for m in measurements], [plan.bright for plan in plans]),
        best_threshold([m.drums for m in measurements], [plan.drums for plan in plans]),
    )


def best_threshold(values: Sequence[float], high: Sequence[bool]) -> float:
    """The threshold with the fewest values on the wrong side, in the middle of the widest such gap."""
    ordered = sorted(zip(values, high, strict=True))
    wrong = sum(not is_high for _, is_high in ordered)  # everything counted as high
    best, cut = (wrong, 0.0), ordered[0][0] - 1.0
    for (value, is_high), (following, _) in itertools.pairwise(ordered):
        wrong += 1 if is_high else -1
        if (wrong, -(following - value)) < best:
            best, cut = (wrong, -(following - value)), (value + following) / 2
    return cut


def beat_offset(wave: np.ndarray, start: float, period: float) -> float:
    """Offset of the onsets from a grid of half beats, in periods from -0.5 to 0.5.

    wave: `[2 n]` at 48 kHz that begins at ``start`` seconds of a song whose grid begins at 0; period: seconds.
    """
    mono = librosa.resample(wave.mean(axis=0).astype(np.float32), orig_sr=sounds.RATE, target_sr=RATE)
    strength = librosa.onset.onset_strength(y=mono, sr=RATE, hop_length=HOP)
    time = start + librosa.times_like(strength, sr=RATE, hop_length=HOP)
    turn = np.sum(strength * np.exp(2j * np.pi * time / period))
    return float(np.angle(turn) / (2 * np.pi))

"""The sounds of the songs, in frames of 40 ms.

A latent frame has 64 numbers, so 64 atoms of 80 ms, every 40 ms, span everything that the codec represents:

- 38 MDCT atoms for 37.5 to 512 Hz: bass, kick and the chords, whatever their phase.
- 12 pitch classes in octave 5 (the lead) and 12 in octaves 6 and 7 (what makes a sound bright).
- a hi-hat and a snare, which are fixed bursts of noise.

Sustained notes lie on a grid of 12.5 Hz, at most 27 cents from equal temperament, with phases counted from the start
of the song. So a sustained note repeats exactly every two frames, one token of the transformer, which learns a piano
roll and no phases. Bass and drums start on frames and always sound the same from there.
"""

from __future__ import annotations

import functools

import numpy as np

RATE = 48000
HOP = 1920
SPAN = 2 * HOP  # an atom spans its frame and half a frame on either side
GRID = RATE / SPAN  # 12.5 Hz
DETUNE = -10 / 1200  # octaves; centres the grid's error over the twelve pitch classes
LOWEST_BIN, BINS = 3, 38
HAT, SNARE = BINS + 24, BINS + 25
LATENTS = BINS + 26
PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


def hertz(pitch_class: int, octave: int) -> float:
    """Equal temperament, A4 = 440 Hz, shifted by DETUNE."""
    return 440.0 * 2 ** ((pitch_class - 9) / 12 + octave - 4 + DETUNE)


def grid_hertz(pitch_class: int, octave: int) -> float:
    """The nearest frequency on the grid."""
    return GRID * round(hertz(pitch_class, octave) / GRID)


@functools.cache
def window() -> np.ndarray:
    """A sine window `[3840]`: its squares, one frame apart, sum to one."""
    return np.sin(np.pi * (np.arange(SPAN) + 0.5) / SPAN)


def partial(frequency: float) -> np.ndarray:
    """A grid frequency over one atom `[3840]`, with its phase counted from the start of an even frame."""
    time = (np.arange(SPAN) - HOP / 2) / RATE
    return np.cos(2 * np.pi * frequency * time) * window() ** 2


def sign(frequency: float) -> int:
    """Sign by which a grid frequency changes from one frame to the next."""
    return -1 if round(frequency / GRID) % 2 else 1


@functools.cache
def chord_partials() -> np.ndarray:
    """Octave 4 of each pitch class `[12 3840]`; in odd frames multiplied by the sign of its frequency."""
    return np.stack([partial(grid_hertz(p, 4)) for p in range(12)])


@functools.cache
def lead_partials() -> np.ndarray:
    """Octave 5 of each pitch class `[12 3840]`."""
    return np.stack([partial(grid_hertz(p, 5)) for p in range(12)])


def shine_hertz(pitch_class: int) -> tuple[float, float]:
    """Octaves 6 and 7 on a grid of 25 Hz, where the phase is the same in every frame."""
    low, high = (2 * GRID * round(hertz(pitch_class, octave) / (2 * GRID)) for octave in (6, 7))
    return low, high


@functools.cache
def shine_partials() -> np.ndarray:
    """Octaves 6 and 7 of each pitch class together `[12 3840]`: its overtones."""
    return np.stack([partial(low) + 0.6 * partial(high) for low, high in map(shine_hertz, range(12))])


def _noise(low: float, high: float, decay: float, seed: int) -> np.ndarray:
    """A decaying burst of noise `[2 3840]` that starts with the frame; left and right differ slightly."""
    rng = np.random.default_rng(seed)
    length = SPAN - HOP // 2
    both, sides = rng.standard_normal(length), rng.standard_normal((2, length))
    noise = np.stack([both, both]) + 0.4 * sides
    spectrum = np.fft.rfft(noise)
    frequency = np.fft.rfftfreq(length, 1 / RATE)
    spectrum *= 1 / (1 + (low / np.maximum(frequency, 1)) ** 8) / (1 + (frequency / high) ** 8)
    time = np.arange(length) / RATE
    burst = np.fft.irfft(spectrum, length) * np.exp(-time / decay) * np.minimum(1, (time[-1] - time) / 0.01)
    out = np.zeros((2, SPAN))
    out[:, HOP // 2 :] = burst / np.abs(burst).max()
    return out


@functools.cache
def noises() -> np.ndarray:
    """Hi-hat and snare in stereo `[2 2 3840]`."""
    return np.stack([_noise(6500, 12000, 0.012, 1), _noise(1500, 5000, 0.022, 2)])


@functools.cache
def one_shots() -> dict[str, np.ndarray]:
    """Waveforms `[n]` that start on a frame: kick, the drum of the snare, and bass notes "bass0" (C) to "bass11"
    (B)."""
    time = np.arange(int(0.32 * RATE)) / RATE
    edge = np.minimum(1, time / 0.004) * np.minimum(1, (time[-1] - time) / 0.02)
    sweep = 2 * np.pi * np.cumsum(48 + 70 * np.exp(-time / 0.03)) / RATE
    shots = {"kick": np.sin(sweep) * np.exp(-time / 0.09) * edge}
    shots["drum"] = np.sin(2 * np.pi * 190 * time) * np.exp(-time / 0.05) * edge
    for pitch in range(12):
        f = hertz(pitch, 2)
        wave = np.sin(2 * np.pi * f * time) + 0.45 * np.sin(4 * np.pi * f * time) + 0.2 * np.sin(6 * np.pi * f * time)
        shots[f"bass{pitch}"] = wave * np.exp(-time / 0.16) * edge
    return shots


@functools.cache
def atoms() -> np.ndarray:
    """The waveform of each latent number before scaling, with unit energy `[64 2 3840]`."""
    k = np.arange(LOWEST_BIN, LOWEST_BIN + BINS)[:, None] + 0.5
    phase = np.pi / HOP * (np.arange(SPAN)[None] + 0.5 + HOP / 2) * k
    low = np.sqrt(2 / HOP) * window() * np.cos(phase)
    tones = np.concatenate([low, lead_partials(), shine_partials()])
    both = np.concatenate([np.stack([tones, tones], axis=1), noises()])
    return both / np.sqrt((both**2).sum(axis=(1, 2), keepdims=True))

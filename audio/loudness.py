"""Finishes a song: rejects unusable audio, limits, normalises, fades.

Every function takes a waveform `[b c n]`, treats batch items independently, returns a detached float32 tensor on the
CPU and does not modify its input. Order and formulas are those of the official inference code.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .waveform import as_float32, non_finite, require_rate

# -80 dBFS, three steps of a 16-bit file: no song peaks below it, but the output of a decoder for zero latents does.
# Normalising such an item would amplify its rounding noise to full scale.
SILENCE_PEAK = 1e-4


class UnusableAudio(ValueError):  # noqa: N818 - says what the audio is
    """A waveform that is not a song: NaN, infinite, silent or empty."""


def limit_peak(waveform: Tensor) -> Tensor:
    """Divide every item whose peak is above full scale (1.0) by its peak; the others keep their values.

    waveform: `[b c n]`; returns the same shape. The peak is over channels and time, which preserves the stereo image.
    """
    waveform = as_float32(waveform)
    return waveform / _peaks(waveform).clamp(min=1.0)


def normalize_peak(waveform: Tensor, peak_db: float) -> Tensor:
    """Scale every item so that its peak over channels and time is `peak_db` dBFS.

    waveform: `[b c n]`; returns the same shape. Raises ValueError for a level above full scale and UnusableAudio for an
    item of zeros, which cannot be scaled to a level.
    """
    if not peak_db <= 0.0:
        raise ValueError(f"peak_db {peak_db} is above full scale; use 0 dBFS or less, such as -1")
    waveform = as_float32(waveform)
    peaks = _peaks(waveform)
    zeros = [f"item {i} is all zeros" for i, peak in enumerate(peaks.flatten().tolist()) if peak == 0.0]
    if zeros:
        raise UnusableAudio(f"cannot normalise to {peak_db} dBFS: {'; '.join(zeros)}")
    # Dividing first makes the peak exactly 1, and the result exactly the requested level.
    return waveform / peaks * 10.0 ** (peak_db / 20.0)


def fade(waveform: Tensor, sample_rate: int, fade_in: float, fade_out: float) -> Tensor:
    """Fade linearly from silence over the first `fade_in` seconds and to silence over the last `fade_out` seconds.

    waveform: `[b c n]`; returns the same shape. The first and last sample of a fade have gain 0 and 1 (or 1 and 0). A
    fade longer than the song spans the entire song, as in the official inference code; where the two fades overlap,
    their gains multiply. Raises ValueError for a negative or infinite length.
    """
    require_rate("sample_rate", sample_rate)
    lengths = {"fade_in": fade_in, "fade_out": fade_out}
    problems = [f"{name} {length}" for name, length in lengths.items() if not (length >= 0.0 and math.isfinite(length))]
    if problems:
        raise ValueError(f"{' and '.join(problems)}: a fade lasts 0 seconds (none) or longer")
    waveform = as_float32(waveform)
    gain = torch.ones(waveform.shape[-1])
    rising = _ramp(fade_in, sample_rate, len(gain))
    falling = _ramp(fade_out, sample_rate, len(gain)).flip(0)
    gain[: len(rising)] *= rising
    gain[len(gain) - len(falling) :] *= falling
    return waveform * gain


def guard(waveform: Tensor) -> Tensor:
    """Return the waveform `[b c n]` if every item is finite and peaks at -80 dBFS or above.

    Raises UnusableAudio that lists every unusable item, its problem and the remedy.
    """
    waveform = as_float32(waveform)
    problems = [f"item {i} {problem}" for i, item in enumerate(waveform) if (problem := _problem(item))]
    if problems:
        raise UnusableAudio(
            f"the audio is not usable: {'; '.join(problems)}. Try another precision (bf16 or fp32 instead of fp16) and "
            "check the checkpoint files: damaged or mismatched ones produce such audio"
        )
    return waveform


def finish(
    waveform: Tensor, sample_rate: int, *, normalize: bool, peak_db: float, fade_in: float, fade_out: float
) -> Tensor:
    """Finish decoded audio `[b c n]`: guard, limit to full scale, normalise to `peak_db` dBFS, fade.

    normalize: if False, items below full scale keep their level. Raises what `guard`, `normalize_peak` and `fade` do.
    """
    song = limit_peak(guard(waveform))
    if normalize:
        song = normalize_peak(song, peak_db)
    return fade(song, sample_rate, fade_in, fade_out)


def _peaks(waveform: Tensor) -> Tensor:
    """Largest absolute sample of each item, `[b 1 1]`; 0 for an item without samples."""
    if waveform.shape[-1] == 0:
        return torch.zeros(waveform.shape[0], 1, 1)
    return waveform.abs().amax(dim=(1, 2), keepdim=True)


def _ramp(seconds: float, sample_rate: int, samples: int) -> Tensor:
    """The gains of a fade, 0 to 1, at most as many as the song has samples."""
    return torch.linspace(0.0, 1.0, min(round(seconds * sample_rate), samples))


def _problem(item: Tensor) -> str:
    """Why an item `[c n]` is unusable; empty if it is usable."""
    if item.shape[-1] == 0:
        return "has no samples"
    if problem := non_finite(item):
        return f"contains {problem}"
    peak = float(item.abs().max())
    return f"is silent: peak {peak:.0e}" if peak < SILENCE_PEAK else ""

"""Two waveforms as one, with the arithmetic of ComfyUI's audio nodes: joined, one after the other, mixed."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .resample import resample, torchaudio_length

logger = logging.getLogger(__name__)

# `[b c n]` and its sample rate in Hz.
Sound = tuple[Tensor, int]


def join_channels(left: Sound, right: Sound) -> Sound:
    """Two mono waveforms as the sides of a stereo one, at the higher rate and the shorter length."""
    channels = [side.shape[1] for side, _ in (left, right)]
    if channels != [1, 1]:
        raise ValueError(f"the left side has {channels[0]} channels and the right {channels[1]}: give mono to both")
    first, second, rate = _match_rates(left, right)
    _require_equal(first, second, "songs")
    length = min(first.shape[-1], second.shape[-1])
    if first.shape[-1] != second.shape[-1]:
        logger.info("the sides are %d and %d samples long; both are cut to %d", *_lengths(first, second), length)
    return torch.cat((first[..., :length], second[..., :length]), dim=1), rate


def concatenate(first: Sound, second: Sound) -> Sound:
    """One waveform after the other, at the higher rate. Mono becomes stereo."""
    stereo = [(wave.expand(-1, 2, -1) if wave.shape[1] == 1 else wave, rate) for wave, rate in (first, second)]
    before, after, rate = _match_rates(*stereo)
    _require_equal(before, after, "songs", "channels")
    return torch.cat((before, after), dim=-1), rate


def mix(first: Sound, second: Sound, method: str) -> Sound:
    """Two waveforms at once, at the higher rate and the length of the first; lowered to full scale where above it.

    method: a key of METHODS. Raises ValueError.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    base, added, rate = _match_rates(first, second)
    if base.shape[-1] != added.shape[-1]:
        logger.info("the second waveform is fitted from %d to %d samples", *_lengths(added, base))
    added = F.pad(added[..., : base.shape[-1]], (0, max(base.shape[-1] - added.shape[-1], 0)))
    if any(1 not in pair and pair[0] != pair[1] for pair in zip(base.shape[:2], added.shape[:2], strict=True)):
        _require_equal(base, added, "songs", "channels")
    mixed = METHODS[method](base, added)
    return mixed / mixed.abs().max().clamp(min=1.0), rate


def _match_rates(first: Sound, second: Sound) -> tuple[Tensor, Tensor, int]:
    """Both at the higher rate."""
    rate = max(first[1], second[1])
    waves = [resample(wave, own, rate, torchaudio_length(wave.shape[-1], own, rate)) for wave, own in (first, second)]
    if first[1] != second[1]:
        logger.info("one of the waveforms is resampled from %d to %d Hz", min(first[1], second[1]), rate)
    return waves[0], waves[1], rate


def _lengths(first: Tensor, second: Tensor) -> tuple[int, int]:
    return first.shape[-1], second.shape[-1]


def _require_equal(first: Tensor, second: Tensor, *sizes: str) -> None:
    """Raise ValueError where the named of the sizes (songs, channels) differ."""
    differing = [
        f"{first.shape[n]} and {second.shape[n]} {size}"
        for n, size in enumerate(("songs", "channels"))
        if size in sizes and first.shape[n] != second.shape[n]
    ]
    if differing:
        raise ValueError(f"the two waveforms have {', '.join(differing)}: give both the same number")


METHODS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "mean": lambda a, b: (a + b) / 2,
    "subtract": torch.sub,
    "multiply": torch.mul,
}

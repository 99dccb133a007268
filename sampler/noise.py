"""Start noise, drawn on the CPU per batch item: a seed means the same song on every machine and in any batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

_WORD = 2**32
_SEEDS = 2**64


def draw(seeds: Sequence[int], frames: int, channels: int) -> Tensor:
    """Standard normal noise ``[b t c]``, float32 on the CPU; item i depends on ``seeds[i]``, frames and channels only.

    A longer song starts with the noise of the shorter one of the same seed as long as ``frames * channels`` is a
    multiple of 16, which the 64 channels of the latent always give: PyTorch fills normals in blocks of 16.

    Raises ValueError for seeds outside 0 .. 2^64 - 1.
    """
    wrong = [f"item {i}: {seed}" for i, seed in enumerate(seeds) if not 0 <= seed < _SEEDS]
    if wrong:
        raise ValueError(f"seeds must be 0 to {_SEEDS - 1}; " + ", ".join(wrong))
    return torch.stack([_draw_one(seed, frames, channels) for seed in seeds])


def _draw_one(seed: int, frames: int, channels: int) -> Tensor:
    # PyTorch's CPU generator reads the low 32 bits of a seed and drops the rest: 2^32 would be 0 again. A seed beyond
    # them is scrambled, one to one, and both halves draw; weights whose squares add up to 1 keep the noise standard
    # normal, and unequal ones keep apart the seeds whose halves are swapped.
    if seed < _WORD:
        return _randn(seed, frames, channels)
    high, low = divmod(_scramble(seed), _WORD)
    return 0.6 * _randn(high, frames, channels) + 0.8 * _randn(low, frames, channels)


def _randn(seed: int, frames: int, channels: int) -> Tensor:
    return torch.randn(frames, channels, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float32)


def _scramble(seed: int) -> int:
    """SplitMix64's finaliser, a bijection on 64 bits (Steele, Lea and Flood 2014): neighbours get unrelated halves."""
    seed = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9 % _SEEDS
    seed = (seed ^ (seed >> 27)) * 0x94D049BB133111EB % _SEEDS
    return seed ^ (seed >> 31)


def seeds_for(seed: int, batch: int) -> list[int]:
    """The seeds of a batch: seed, seed + 1, ...; after 2^64 - 1 comes 0."""
    return seeds_at(seed, range(batch))


def seeds_at(seed: int, places: Iterable[int]) -> list[int]:
    """The seeds of the items at these places of a batch whose first item has ``seed``."""
    return [(seed + place) % _SEEDS for place in places]


def retake(noise: Tensor, other: Tensor, variance: float) -> Tensor:
    """A variation of a take: noise turned towards the noise of another seed, ``[b t c]`` both and back.

    variance: 0 is the take itself, 1 the other. Cosine and sine keep the result standard normal (official inference).
    """
    if not 0 <= variance <= 1:
        raise ValueError(f"retake variance is {variance}, allowed are 0 (the same take) to 1 (another one)")
    angle = variance * math.pi / 2
    return math.cos(angle) * noise + math.sin(angle) * other


def mix(noise: Tensor, source: Tensor, t: float) -> Tensor:
    """A source noised to level t, on the flow's straight path: ``t noise + (1 - t) source``, ``[b t c]``."""
    return t * noise + (1 - t) * source

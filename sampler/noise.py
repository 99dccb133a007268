"""Initial noise, drawn on the CPU per batch item: one seed, one song on every machine and in any batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

_TWO_32 = 2**32
_SEED_COUNT = 2**64


def draw(seeds: Sequence[int], frames: int, channels: int) -> Tensor:
    """Standard normal noise ``[b t c]``, float32 on the CPU; item i depends on ``seeds[i]``, frames and channels only.

    A longer song begins with the noise of a shorter one with the same seed, provided ``frames * channels`` is a
    multiple of 16: PyTorch fills normals in blocks of 16. The latent's 64 channels ensure that.

    Raises ValueError for seeds outside 0 .. 2^64 - 1.
    """
    problems = [f"item {i}: {seed}" for i, seed in enumerate(seeds) if not 0 <= seed < _SEED_COUNT]
    if problems:
        raise ValueError(f"seeds must be 0 to {_SEED_COUNT - 1}; " + ", ".join(problems))
    return torch.stack([_draw_one(seed, frames, channels) for seed in seeds])


def _draw_one(seed: int, frames: int, channels: int) -> Tensor:
    # PyTorch's CPU generator uses only the low 32 bits of a seed, so 2^32 would equal 0. A larger seed is scrambled
    # bijectively and both halves are drawn from. The squares of the weights add up to 1, which keeps the noise standard
    # normal; the weights differ, so that swapped halves give different noise.
    if seed < _TWO_32:
        return _randn(seed, frames, channels)
    high, low = divmod(_scramble(seed), _TWO_32)
    return 0.6 * _randn(high, frames, channels) + 0.8 * _randn(low, frames, channels)


def _randn(seed: int, frames: int, channels: int) -> Tensor:
    return torch.randn(frames, channels, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float32)


def _scramble(seed: int) -> int:
    """SplitMix64's finaliser, a bijection on 64 bits (Steele, Lea and Flood 2014): nearby seeds become unrelated."""
    seed = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9 % _SEED_COUNT
    seed = (seed ^ (seed >> 27)) * 0x94D049BB133111EB % _SEED_COUNT
    return seed ^ (seed >> 31)


def seeds_for(seed: int, batch: int) -> list[int]:
    """The seeds of a batch: seed, seed + 1, ..., wrapping to 0 after 2^64 - 1."""
    return seeds_at(seed, range(batch))


def seeds_at(seed: int, indices: Iterable[int]) -> list[int]:
    """The seeds of some items of a batch whose first item has ``seed``."""
    return [(seed + index) % _SEED_COUNT for index in indices]


def retake(noise: Tensor, other: Tensor, variance: float) -> Tensor:
    """A variation of a take: its noise rotated towards the noise of another seed. All are ``[b t c]``.

    variance: 0 is the take itself, 1 the other. Cosine and sine keep the result standard normal (official inference).
    """
    if not 0 <= variance <= 1:
        raise ValueError(f"retake variance is {variance}, allowed 0 (the same take) to 1 (a different take)")
    angle = variance * math.pi / 2
    return math.cos(angle) * noise + math.sin(angle) * other


def mix(noise: Tensor, source: Tensor, t: float) -> Tensor:
    """The source noised to level t along the flow's straight path: ``t noise + (1 - t) source``, ``[b t c]``."""
    return t * noise + (1 - t) * source

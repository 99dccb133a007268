"""Noise as ComfyUI draws it: one generator for the whole batch, so an item depends on its place in the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

SEED_COUNT = 2**64


def prepare_noise(latent: Tensor, seed: int, batch_index: Sequence[int] | None = None) -> Tensor:
    """Standard normal noise like the latent ``[b c t]``, drawn in float32 on the CPU.

    batch_index: the place of each item in the batch that it was taken from; equal places get equal noise. Raises
    ValueError for a seed outside 0 .. 2^64 - 1 and unless there is one place, 0 or above, per item.
    """
    generator = torch.Generator("cpu").manual_seed(_checked(seed))
    if batch_index is None:
        return torch.randn(latent.shape, generator=generator).to(latent.dtype)
    if len(batch_index) != latent.shape[0] or min(batch_index, default=0) < 0:
        raise ValueError(
            f"batch_index is {list(batch_index)} for a batch of {latent.shape[0]}: give one place, 0 or above, per item"
        )
    item_shape = (1, *latent.shape[1:])
    drawn = [torch.randn(item_shape, generator=generator) for _ in range(max(batch_index, default=-1) + 1)]
    return torch.cat([drawn[place] for place in batch_index]).to(latent.dtype)


@dataclass(frozen=True)
class LatentNoise:
    """A NOISE of native graphs: noise from a seed, or none."""

    seed: int
    is_empty: bool = False

    def generate_noise(self, input_latent: Mapping[str, Any]) -> Tensor:
        """Noise like the samples ``[b c t]`` of a LATENT, by each song's place in its batch."""
        samples = input_latent["samples"]
        if self.is_empty:
            return torch.zeros_like(samples, device="cpu")
        return prepare_noise(samples, self.seed, input_latent.get("batch_index"))


def inpaint_noise(noise: Tensor, seed: int) -> Tensor:
    """The noise that ddim gives to the part a mask keeps: other noise than the run starts from."""
    generator = torch.Generator("cpu").manual_seed(next_seed(seed))
    return torch.randn(noise.shape, generator=generator).to(noise)


def next_seed(seed: int) -> int:
    """The seed of noise drawn during the run on the CPU, so that it differs from the initial noise."""
    if seed == SEED_COUNT - 1:
        raise ValueError(f"this sampler draws its own noise from seed + 1, so {seed} is too large: use a seed below it")
    return _checked(seed) + 1


def _checked(seed: int) -> int:
    if not 0 <= seed < SEED_COUNT:
        raise ValueError(f"seed is {seed}, allowed 0 to {SEED_COUNT - 1}")
    return seed

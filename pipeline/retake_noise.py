"""Start noise of a variation, as a NOISE."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..sampler.noise import draw, retake, seeds_at


class RetakeNoise:
    """Start noise between two seeds, drawn per song on the CPU."""

    def __init__(self, seed: int, retake_seed: int, variance: float) -> None:
        self.seed = seed
        self._other = retake_seed
        self._variance = variance

    def generate_noise(self, input_latent: dict[str, Any]) -> Tensor:
        """ComfyUI's NOISE contract: noise ``[b c t]`` for a LATENT."""
        batch, channels, frames = input_latent["samples"].shape
        indices = input_latent.get("batch_index") or range(batch)
        base, other = (draw(seeds_at(seed, indices), frames, channels) for seed in (self.seed, self._other))
        return retake(base, other, self._variance).transpose(1, 2)

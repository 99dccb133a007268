"""Node: noise of a variation."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from .. import parameters
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
        places = input_latent.get("batch_index") or range(batch)
        base, other = (draw(seeds_at(seed, places), frames, channels) for seed in (self.seed, self._other))
        return retake(base, other, self._variance).transpose(1, 2)


class Retake:
    """A variation of a seed."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = "Retake: start noise that leads from the song of one seed towards that of another."
    FUNCTION = "make"
    RETURN_TYPES = ("NOISE",)
    RETURN_NAMES = ("noise",)
    OUTPUT_TOOLTIPS = ("For the sampler's noise input.",)
    SEARCH_ALIASES: ClassVar = ["ace step variation", "retake", "seed variance", "subseed"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "seed": parameters.widget("seed"),
                "retake_seed": parameters.widget("retake_seed"),
                "variance": parameters.widget("retake_variance"),
            }
        }

    def make(self, seed: int, retake_seed: int, variance: float) -> tuple[RetakeNoise]:
        return (RetakeNoise(seed, retake_seed, variance),)

"""Node: initial noise of a variation."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import parameters
from ..pipeline.retake_noise import RetakeNoise


class Retake:
    """A variation of a seed."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = "Initial noise between two seeds, for variations of a song."
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

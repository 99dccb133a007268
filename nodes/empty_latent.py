"""Node: empty latent."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from .. import parameters


class EmptyLatent:
    """Sets the length and number of songs."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = "Sets the length and number of songs. Connect seconds to the text encode node's duration."
    FUNCTION = "make"
    RETURN_TYPES = ("LATENT", "FLOAT")
    RETURN_NAMES = ("latent", "seconds")
    OUTPUT_TOOLTIPS = ("For the sampler.", "The length, for the text encode node's duration.")
    SEARCH_ALIASES: ClassVar = ["ace step duration", "song length", "empty audio latent"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"seconds": parameters.widget("duration"), "batch_size": parameters.widget("batch_size")},
        }

    def make(self, seconds: float, batch_size: int) -> tuple[dict[str, Any], float]:
        # Down to whole frames, as official inference does.
        frames = round(seconds * parameters.SAMPLE_RATE) // parameters.FRAME_SAMPLES
        samples = torch.zeros(batch_size, parameters.LATENT_CHANNELS, frames)
        return {"samples": samples, "type": "audio"}, seconds

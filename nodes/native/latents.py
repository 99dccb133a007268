"""ComfyUI's nodes: batches of audio latents and their noise masks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ... import parameters
from ...parameters import native

Latent = dict[str, Any]


class EmptyAceStep15LatentAudio:
    """Latents of silence's place holder, zeros ``[b 64 t]``."""

    FUNCTION = "make"
    RETURN_TYPES = ("LATENT",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types(native.EMPTY_LATENT)

    def make(self, seconds: float, batch_size: int) -> tuple[Latent]:
        frames = round(seconds * parameters.SAMPLE_RATE / parameters.FRAME_SAMPLES)
        samples = torch.zeros(batch_size, parameters.LATENT_CHANNELS, frames)
        return ({"samples": samples, "type": "audio"},)


class LatentFromBatch:
    """Some songs of a batch, which keep their places in it for the noise."""

    FUNCTION = "pick"
    RETURN_TYPES = ("LATENT",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("LatentFromBatch")

    def pick(self, samples: Latent, batch_index: int, length: int) -> tuple[Latent]:
        latents = samples["samples"]
        first = min(batch_index, len(latents) - 1)
        picked = slice(first, min(first + length, len(latents)))
        result = {**samples, "samples": latents[picked].clone()}
        if (mask := samples.get("noise_mask")) is not None:
            # Fewer masks than songs go round.
            masks = torch.arange(len(latents))[picked] % len(mask)
            result["noise_mask"] = mask.clone() if len(mask) == 1 else mask[masks]
        result["batch_index"] = list(samples.get("batch_index", range(len(latents))))[picked]
        return (result,)


class RepeatLatentBatch:
    """A batch several times over; each repetition takes noise of its own."""

    FUNCTION = "repeat"
    RETURN_TYPES = ("LATENT",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("RepeatLatentBatch")

    def repeat(self, samples: Latent, amount: int) -> tuple[Latent]:
        result = {**samples, "samples": torch.cat([samples["samples"]] * amount)}
        mask = samples.get("noise_mask")
        if mask is not None and len(mask) > 1:
            result["noise_mask"] = torch.cat([mask] * amount)
        if (places := samples.get("batch_index")) is not None:
            distance = max(places) - min(places) + 1
            result["batch_index"] = [place + n * distance for n in range(amount) for place in places]
        return (result,)


class LatentBatch:
    """The songs of two batches in one."""

    FUNCTION = "join"
    RETURN_TYPES = ("LATENT",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("LatentBatch")

    def join(self, samples1: Latent, samples2: Latent) -> tuple[Latent]:
        first, second = samples1["samples"], samples2["samples"]
        if first.shape[1:] != second.shape[1:]:
            raise ValueError(
                f"samples1 is {list(first.shape)}, samples2 {list(second.shape)}: only the first size may differ; give "
                "both the same length"
            )
        places = [*samples1.get("batch_index", range(len(first))), *samples2.get("batch_index", range(len(second)))]
        return ({**samples1, "samples": torch.cat((first, second)), "batch_index": places},)


class LatentBatchSeedBehavior:
    """Whether the songs of a batch take the same noise."""

    FUNCTION = "set"
    RETURN_TYPES = ("LATENT",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("LatentBatchSeedBehavior")

    def set(self, samples: Latent, seed_behavior: str) -> tuple[Latent]:
        result = {name: value for name, value in samples.items() if name != "batch_index"}
        if seed_behavior == "fixed":
            result["batch_index"] = [samples.get("batch_index", [0])[0]] * len(samples["samples"])
        return (result,)


class SetLatentNoiseMask:
    """Marks what the sampler changes: 1 where it does."""

    FUNCTION = "set"
    RETURN_TYPES = ("LATENT",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SetLatentNoiseMask")

    def set(self, samples: Latent, mask: Tensor) -> tuple[Latent]:
        return ({**samples, "noise_mask": mask.reshape(-1, 1, *mask.shape[-2:])},)


class SolidMask:
    """A mask ``[1 h w]`` of one value."""

    FUNCTION = "make"
    RETURN_TYPES = ("MASK",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SolidMask")

    def make(self, value: float, width: int, height: int) -> tuple[Tensor]:
        return (torch.full((1, height, width), value),)


class InvertMask:
    """1 where the mask is 0."""

    FUNCTION = "invert"
    RETURN_TYPES = ("MASK",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("InvertMask")

    def invert(self, mask: Tensor) -> tuple[Tensor]:
        return (1.0 - mask,)

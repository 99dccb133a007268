"""Node: guidance. Binds a network to its prompt; here the network and the sampling mathematics meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from .. import parameters
from ..model.network import AceStep
from ..model.predictor import Predictor
from ..sampler.denoise import Step, denoise, start
from ..sampler.guidance import Guidance
from ..sampler.solver import solver
from . import conditioning
from .conditioning import Conditioning, Prompted


@dataclass(frozen=True)
class Guider:
    """A network, its prompt and how strongly to follow it. negative None is the learned null condition."""

    network: AceStep
    positive: Prompted
    negative: Prompted | None
    guidance: Guidance

    def memory(self, batch: int, frames: int) -> int:
        """Bytes a run needs beside the weights: the widest layer's activations, twice where guidance is on."""
        width = self.network.config.decoder
        tokens = batch * -(-frames // self.network.config.patch_size)
        channels = 3 * width.intermediate + 8 * width.hidden + 8 * width.heads * width.head_dim
        return tokens * channels * torch.finfo(self.network.null_condition_emb.dtype).bits // 8

    def predictor(self, batch: int, frames: int, device: torch.device) -> Predictor:
        """Everything that stays the same during a run, computed once."""
        for name, prompted in (("positive", self.positive), ("negative", self.negative)):
            if prompted is not None and prompted.batch not in (1, batch):
                raise ValueError(f"{name} holds {prompted.batch} prompts for {batch} songs; give 1 or {batch}")
        positive = conditioning.encode(self.network, self.positive, device)
        negative = None if self.negative is None else conditioning.encode(self.network, self.negative, device)
        context = conditioning.source_context(self.network, self.positive, frames)
        return Predictor(self.network, positive, context, negative)

    def run(
        self, noise: Tensor, latents: Tensor, sigmas: list[float], device: torch.device, on_step: Callable[[Step], None]
    ) -> Tensor:
        """Denoise from ``sigmas[0]``: pure noise at 1, the given latents part-way there below. All ``[b t c]``."""
        batch, frames, _ = noise.shape
        x = start(noise.to(device), latents.to(device), sigmas[0])
        return denoise(
            self.predictor(batch, frames, device),
            x,
            sigmas,
            guidance=self.guidance,
            solver=solver("euler"),
            on_step=on_step,
        )


class GuiderNode:
    """Binds model and prompt, and sets guidance."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = (
        "Guidance: how closely the music follows the prompt, and during which part of the run. Without a negative "
        "prompt the model's own learned null condition is used, as it was trained."
    )
    FUNCTION = "make"
    RETURN_TYPES = ("GUIDER",)
    RETURN_NAMES = ("guider",)
    OUTPUT_TOOLTIPS = ("For the sampler.",)
    SEARCH_ALIASES: ClassVar = ["ace step cfg", "apg", "adg", "guidance"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": ("ACESTEP_MODEL", {"tooltip": "From the loader."}),
                "positive": ("CONDITIONING", {"tooltip": "What the music shall be."}),
                "type": parameters.widget("guidance_type"),
                "scale": parameters.widget("guidance_scale"),
                "start": parameters.widget("guidance_start"),
                "end": parameters.widget("guidance_end"),
                "momentum": parameters.widget("apg_momentum"),
                "norm_threshold": parameters.widget("apg_norm_threshold"),
                "eta": parameters.widget("apg_eta"),
                "angle_clip": parameters.widget("adg_angle_clip"),
                "adg_variant": parameters.widget("adg_variant"),
            },
            "optional": {
                "negative": ("CONDITIONING", {"tooltip": "What to steer away from. Unconnected: the null condition."}),
            },
        }

    def make(
        self,
        model: AceStep,
        positive: Conditioning,
        type: str,
        scale: float,
        start: float,
        end: float,
        momentum: float,
        norm_threshold: float,
        eta: float,
        angle_clip: float,
        adg_variant: str,
        negative: Conditioning | None = None,
    ) -> tuple[Guider]:
        guidance = Guidance(type, scale, start, end, momentum, norm_threshold, eta, angle_clip, adg_variant)
        return (Guider(model, conditioning.read(positive, "positive"), _negative(negative), guidance),)


def _negative(negative: Conditioning | None) -> Prompted | None:
    """A zeroed conditioning (core's ConditioningZeroOut) means the null condition, as it does in core."""
    if negative is None:
        return None
    prompted = conditioning.read(negative, "negative")
    return prompted if bool(prompted.text.any()) else None

"""Node: guidance. Binds a network to its prompt; here the network and the sampling mathematics meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import parameters
from ..model.condition import Condition
from ..model.network import AceStep
from ..model.predictor import Predictor
from ..sampler.denoise import Step, denoise, start
from ..sampler.guidance import Guidance
from ..sampler.solver import solver
from . import conditioning
from .conditioning import Conditioning, Prompted
from .edit import Edit, Job, prepare


@dataclass(frozen=True)
class Guider:
    """A network, its prompt and how strongly to follow it. negative None is the learned null condition."""

    network: AceStep
    positive: Prompted
    negative: Prompted | None
    guidance: Guidance
    negative_weight: float = 1.0

    def memory(self, batch: int, frames: int) -> int:
        """Bytes a run needs beside the weights: the widest layer's activations, twice where guidance is on."""
        width = self.network.config.decoder
        tokens = batch * -(-frames // self.network.config.patch_size)
        channels = 3 * width.intermediate + 8 * width.hidden + 8 * width.heads * width.head_dim
        return tokens * channels * torch.finfo(self.network.null_condition_emb.dtype).bits // 8

    def run(
        self,
        noise: Tensor,
        latents: Tensor,
        sigmas: list[float],
        edit: Edit | None,
        on_step: Callable[[Step], None],
        device: torch.device,
    ) -> Tensor:
        """Denoise ``[b t c]`` noise. The latents are an edit's source and may be shorter than the noise; without an
        edit they are where a schedule that begins below 1 starts from."""
        noise, latents = noise.to(device), latents.to(device)
        job = self._job(noise, latents, sigmas, edit)
        return denoise(
            job.predictor,
            job.x,
            job.sigmas,
            guidance=self.guidance,
            solver=solver("euler"),
            region=job.region,
            switch=job.switch,
            on_step=on_step,
        )

    def _job(self, noise: Tensor, latents: Tensor, sigmas: list[float], edit: Edit | None) -> Job:
        batch, frames, _ = noise.shape
        positive, negative = self._condition(self.positive, batch, noise.device), self._negative(batch, noise.device)

        def make(context: Tensor, released: bool) -> Predictor:
            condition = positive
            if released:
                condition = self._condition(conditioning.let_go(self.positive), batch, noise.device)
            return Predictor(self.network, condition, context, negative, self.negative_weight)

        if edit is not None:
            return prepare(edit, self.network, make, noise, latents, sigmas)
        padded = F.pad(latents, (0, 0, 0, frames - latents.shape[1]))
        context = conditioning.source_context(self.network, self.positive, frames)
        return Job(make(context, False), start(noise, padded, sigmas[0]), sigmas, None, None)

    def _negative(self, batch: int, device: torch.device) -> Condition | None:
        if self.negative is None or self.negative.is_empty:
            return None
        return self._condition(self.negative, batch, device)

    def _condition(self, prompted: Prompted, batch: int, device: torch.device) -> Condition:
        if prompted.batch not in (1, batch):
            raise ValueError(f"the conditioning holds {prompted.batch} prompts for {batch} songs; give 1 or {batch}")
        return conditioning.encode(self.network, prompted, device)


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
                "negative_weight": parameters.widget("negative_weight"),
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
        negative_weight: float,
        negative: Conditioning | None = None,
    ) -> tuple[Guider]:
        guidance = Guidance(type, scale, start, end, momentum, norm_threshold, eta, angle_clip, adg_variant)
        against = None if negative is None else conditioning.read(negative, "negative")
        return (Guider(model, conditioning.read(positive, "positive"), against, guidance, negative_weight),)

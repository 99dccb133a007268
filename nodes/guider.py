"""Node: guidance. Binds a network to its prompt; here the network and the sampling mathematics meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from .. import host, parameters
from ..model.checkpoint import first_damaged
from ..model.condition import Condition
from ..model.network import AceStep
from ..model.predictor import Predictor
from ..sampler import schedule
from ..sampler.denoise import Step, denoise, start
from ..sampler.guidance import Guidance
from ..sampler.modifiers import Modifier
from ..sampler.plot import Trace, Tracer
from . import conditioning, core_sampling
from .conditioning import Conditioning, Prompted
from .edit import Edit, Job, extended, find, prepare
from .solver import SolverSampler


@dataclass(frozen=True)
class Guider:
    """A network, its prompt and how strongly to follow it. negative None is the learned null condition."""

    network: AceStep
    positive: Prompted
    negative: Prompted | None
    guidance: Guidance
    negative_weight: float = 1.0
    modifiers: tuple[Modifier, ...] = ()

    def memory(self, batch: int, frames: int) -> int:
        """Bytes a run needs beside the weights: the widest layer's activations."""
        width = self.network.config.decoder
        tokens = batch * -(-frames // self.network.config.patch_size)
        channels = 3 * width.intermediate + 8 * width.hidden + 8 * width.heads * width.head_dim
        return tokens * channels * torch.finfo(self.network.null_condition_emb.dtype).bits // 8

    @property
    def model_patcher(self) -> Any:
        """What ComfyUI's sampler nodes ask a GUIDER for; only ComfyUI has it."""
        return host.current().sampling_patcher(self.network)

    def run(
        self, job: Job, sampler: Any, seeds: list[int], tick: Callable[[int, int], None]
    ) -> tuple[Tensor, Trace | None]:
        """Denoise a job with our solver or one of ComfyUI's samplers; ``tick(index, total)`` after every step.

        Returns ``[b t c]`` and what our solver's steps did; ComfyUI's samplers do not tell.
        """
        if not isinstance(sampler, SolverSampler):
            return core_sampling.sample(job, self, sampler, seeds[0], lambda i, x0, x, total: tick(i, total)), None
        tracer = Tracer()

        def on_step(step: Step) -> None:
            tick(step.index, step.total)
            tracer.add(step)

        result = denoise(
            job.predictor,
            job.x,
            job.sigmas,
            guidance=self.guidance,
            solver=sampler.solver(seeds),
            region=job.region,
            switch=job.switch,
            modifiers=self.modifiers,
            on_step=on_step,
        )
        return result, tracer.finish()

    def sample(
        self,
        noise: Tensor,
        latent_image: Tensor,
        sampler: Any,
        sigmas: Tensor,
        denoise_mask: Tensor | None = None,
        callback: Any = None,
        disable_pbar: bool = False,
        seed: int | None = None,
    ) -> Tensor:
        """ComfyUI's GUIDER contract, for its own sampler nodes: latents ``[b 64 t]`` in and out, on the CPU.

        A denoise mask is a repaint that keeps everything outside.
        """
        levels = sigmas.tolist()
        schedule.check(levels)
        wanted = find({"samples": latent_image, "noise_mask": denoise_mask}, latent_image.shape[-1])
        with host.current().resident([self.network], self.memory(len(noise), noise.shape[-1])) as device:
            x, source = (y.transpose(1, 2).float().to(device) for y in (noise, latent_image))
            job = self.job(x, source, levels, wanted)
            result = core_sampling.sample(job, self, sampler, seed or 0, callback).cpu()
        refuse_damaged(result, self.network)
        return result.transpose(1, 2).contiguous()

    def job(self, noise: Tensor, latents: Tensor, sigmas: list[float], edit: Edit | None) -> Job:
        """What the sampler needs for these latents; everything that stays the same during a run is computed here."""
        batch, frames, _ = noise.shape

        def make(context: Tensor, released: bool) -> Predictor:
            positive, negative = self.positive, self.negative
            if released:
                positive = conditioning.let_go(positive)
                negative = None if negative is None else conditioning.let_go(negative)
            condition = self._condition(positive, batch, noise.device)
            if negative is None or all(negative.empty):
                return Predictor(self.network, condition, context)
            against = self._condition(negative, batch, noise.device)
            weights = [0.0 if empty else self.negative_weight for empty in negative.empty]
            return Predictor(self.network, condition, context, against, weights)

        if edit is not None:
            return prepare(edit, self.network, make, noise, latents, sigmas)
        source = extended(latents, self.network, frames)
        context = conditioning.source_context(self.network, self.positive, frames)
        return Job(make(context, False), start(noise, source, sigmas[0]), sigmas, noise, source, None, None)

    def _condition(self, prompted: Prompted, batch: int, device: torch.device) -> Condition:
        if prompted.batch not in (1, batch):
            raise ValueError(f"the conditioning holds {prompted.batch} prompts for {batch} songs; give 1 or {batch}")
        return conditioning.encode(self.network, prompted, device)


def refuse_damaged(result: Tensor, network: AceStep) -> None:
    """NaN never leaves as a song; say where it came from."""
    if bool(torch.isfinite(result).all()):
        return
    damaged = first_damaged(network)
    if damaged is not None:
        raise ValueError(f"the checkpoint is damaged: {damaged} holds NaN or infinity; fetch the file again")
    raise ValueError(
        f"the network produced NaN or infinity in {network.null_condition_emb.dtype}; choose precision bf16 or fp32 in "
        "the loader"
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
        if model.training_kind == "turbo" and scale > 1:
            host.current().warn(
                f"{model.name} was trained to run without guidance and turns harsh with it: set scale to 1"
            )
        against = None if negative is None else conditioning.read(negative, "negative")
        return (Guider(model, conditioning.read(positive, "positive"), against, guidance, negative_weight),)

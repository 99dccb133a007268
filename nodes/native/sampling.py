"""ComfyUI's nodes: samplers."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...parameters import native
from ...pipeline.conditioning import Conditioning
from ...pipeline.native import sampling
from ...pipeline.native.guider import NativeGuider
from ...sampler.native.noise import LatentNoise
from ...sampler.native.sampler_table import Sampler, find_problem
from ...sampler.native.schedulers import ksampler_sigmas

Latent = dict[str, Any]


class _BySamplerName:
    """What the nodes share that take a sampler by its name."""

    FUNCTION = "sample"
    RETURN_TYPES = ("LATENT",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types(cls.__name__)

    @classmethod
    def VALIDATE_INPUTS(cls, sampler_name: str | None) -> bool | str:
        return sampler_name is None or find_problem(sampler_name) or True


class KSampler(_BySamplerName):
    """Denoises a latent by a sampler and a scheduler."""

    def sample(
        self,
        model: Any,
        seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        positive: Conditioning,
        negative: Conditioning,
        latent_image: Latent,
        denoise: float,
    ) -> tuple[Latent]:
        guider = NativeGuider(model, positive, negative, cfg)
        sigmas = ksampler_sigmas(guider.levels, scheduler, sampler_name, steps, denoise)
        noise = LatentNoise(seed)
        return (sampling.run(guider, noise, Sampler(sampler_name), sigmas, latent_image)[0],)


class KSamplerAdvanced(_BySamplerName):
    """Denoises a latent over some of the steps of a schedule."""

    def sample(
        self,
        model: Any,
        add_noise: str,
        noise_seed: int,
        steps: int,
        cfg: float,
        sampler_name: str,
        scheduler: str,
        positive: Conditioning,
        negative: Conditioning,
        latent_image: Latent,
        start_at_step: int,
        end_at_step: int,
        return_with_leftover_noise: str,
    ) -> tuple[Latent]:
        guider = NativeGuider(model, positive, negative, cfg)
        sigmas = ksampler_sigmas(guider.levels, scheduler, sampler_name, steps, 1.0)
        sigmas = sampling.part_of(sigmas, start_at_step, end_at_step, return_with_leftover_noise == "disable")
        noise = LatentNoise(noise_seed, is_empty=add_noise == "disable")
        return (sampling.run(guider, noise, Sampler(sampler_name), sigmas, latent_image)[0],)


class SamplerCustom:
    """Denoises a latent by a SAMPLER and SIGMAS."""

    FUNCTION = "sample"
    RETURN_TYPES = ("LATENT", "LATENT")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SamplerCustom")

    def sample(
        self,
        model: Any,
        add_noise: bool,
        noise_seed: int,
        cfg: float,
        positive: Conditioning,
        negative: Conditioning,
        sampler: Any,
        sigmas: Tensor,
        latent_image: Latent,
    ) -> tuple[Latent, Latent]:
        noise = LatentNoise(noise_seed, is_empty=not add_noise)
        return sampling.run(NativeGuider(model, positive, negative, cfg), noise, sampler, sigmas, latent_image)


class SamplerCustomAdvanced:
    """Denoises a latent by a GUIDER, a SAMPLER and SIGMAS."""

    FUNCTION = "sample"
    RETURN_TYPES = ("LATENT", "LATENT")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SamplerCustomAdvanced")

    def sample(
        self, noise: Any, guider: Any, sampler: Any, sigmas: Tensor, latent_image: Latent
    ) -> tuple[Latent, Latent]:
        return sampling.run(guider, noise, sampler, sigmas, latent_image)

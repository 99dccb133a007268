"""Runs of native samplers on the toy song."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from toy_song import CHANNELS, FRAMES, half_mask, source, velocities

from acestep_xl.sampler.native.levels import FlowLevels
from acestep_xl.sampler.native.noise import prepare_noise
from acestep_xl.sampler.native.sampler_table import Sampler
from acestep_xl.sampler.native.sampling import guide, sample
from acestep_xl.sampler.native.schedulers import ksampler_sigmas


def predict(x: Tensor, sigma: Tensor, both: bool) -> tuple[Tensor, Tensor | None]:
    """The toy song's velocities."""
    with_condition, without = velocities(x, sigma)
    return with_condition, without if both else None


def ksampler(name: str, options: dict[str, Any], run: dict[str, Any]) -> Tensor:
    """What KSampler makes of a run of ``toy_song``."""
    levels = FlowLevels(run["shift"])
    sigmas = ksampler_sigmas(levels, run["scheduler"], name, run["steps"], run["denoise"])
    latent = torch.zeros(run["batch"], CHANNELS, FRAMES) if run["is_empty"] else source(run["batch"])
    return sample(
        guide(predict, run["cfg"]),
        prepare_noise(latent, run["seed"]),
        latent,
        sigmas,
        Sampler(name, options),
        levels=levels,
        seed=run["seed"],
        mask=half_mask() if run["is_masked"] else None,
    ).latents

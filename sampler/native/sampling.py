"""One run of a native graph's sampler: what KSampler, SamplerCustom and SamplerCustomAdvanced do with a latent.

Guidance is ``guide``; levels come from ``schedulers.py``, noise from ``noise.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .levels import FlowLevels, noised
from .noise import inpaint_noise
from .sampler_table import Sampler, get_sampler
from .samplers.contract import Denoise, Estimate, Report, Run

# Velocities ``[b c t]`` with the condition and, if asked for, without: x, level, whether both are needed. Without a
# negative prompt the second is always None.
Predict = Callable[[Tensor, Tensor, bool], tuple[Tensor, "Tensor | None"]]
# The mask ``[b c t]`` at a level: level, mask of the run.
MaskAt = Callable[[Tensor, Tensor], Tensor]

# Levels are float32: what a shift makes of 1 may round to just above it.
_HIGHEST_LEVEL = 1 + 1e-6


class Samples(NamedTuple):
    """Latents ``[b c t]``, and the clean estimate of the last step, SamplerCustom's second output."""

    latents: Tensor
    denoised: Tensor


def guide(predict: Predict, scale: float) -> Denoise:
    """Classifier-free guidance of clean estimates (Ho and Salimans 2022): ``u + scale (c - u)``.

    At scale 1 the model without condition is evaluated only for samplers that read its estimate. Where ``predict``
    gives no second velocity although both are needed, its estimate is 0, as in ComfyUI.
    """

    def denoise(x: Tensor, sigma: Tensor, *, with_unconditional: bool) -> Estimate:
        needs_both = with_unconditional or not math.isclose(scale, 1.0)
        velocity, other_velocity = predict(x, sigma, needs_both)
        x0 = x - velocity * sigma
        if not needs_both:
            return Estimate(x0, None)
        unconditional = torch.zeros_like(x0) if other_velocity is None else x - other_velocity * sigma
        return Estimate(unconditional + (x0 - unconditional) * scale, unconditional)

    return denoise


def sample(
    denoise: Denoise,
    noise: Tensor,
    latent: Tensor,
    sigmas: Tensor,
    sampler: Sampler,
    *,
    levels: FlowLevels,
    seed: int,
    mask: Tensor | None = None,
    mask_at: MaskAt | None = None,
    report: Report | None = None,
) -> Samples:
    """Noise the latent to the first level and take it to the last one.

    denoise: the guided model, called as ``denoise(x, sigma, with_unconditional=...)`` with x ``[b c t]`` float32 on
    the latent's device and sigma a float32 scalar on the CPU; gives the estimate of the clean latents. Evaluations
    follow the sampler: several per step, or none. noise: of the latent's shape; zeros continue a noisy latent.
    sigmas: ``[n + 1]``; no levels at all leave the latent as it is. levels: of the model. seed: of noise drawn during
    the run. mask: ``[n c t]``, 1 where the latent is replaced and 0 where it is kept, stretched to the latent, see
    ``fit_mask``. mask_at: what becomes of the fitted mask at a level. report: called at every step with its index, the
    clean estimate and x; it may raise to stop the run.

    Raises ValueError, before the first evaluation, for levels outside 0 .. 1, for a 0 before the last level, and for
    shapes that do not fit.
    """
    if len(sigmas) == 0:
        return Samples(latent, latent)
    _check(noise, latent, sigmas)
    kind, sigmas = get_sampler(sampler.name), sigmas.to("cpu", torch.float32)
    latent = latent.to(torch.float32)
    noise = noise.to(latent)
    if mask is not None:
        kept_noise = inpaint_noise(noise, seed) if kind.masks_with_other_noise else noise
        denoise = _Masked(denoise, fit_mask(mask, latent), latent, kept_noise, mask_at or _same_mask)
    last = _LastEstimate(report)
    run = Run(denoise, sigmas, levels, seed, last, kind.with_unconditional)
    with torch.no_grad():
        x = kind.function(run, noised(latent, noise, sigmas[0]), **sampler.options)
    last_level = sigmas[-1] if sigmas[-1] > 0 else torch.tensor(kind.last_level)
    latents = x / (1 - last_level)
    return Samples(latents, latents if last.x0 is None else last.x0)


def fit_mask(mask: Tensor, latent: Tensor) -> Tensor:
    """A mask ``[n c t]`` stretched linearly to the frames of the latent, repeated over its channels and its batch.

    Raises ValueError for a mask of another rank.
    """
    if mask.ndim != 3:
        raise ValueError(
            f"the noise mask has the shape {list(mask.shape)}; a mask for audio latents is [batch, 1, frames]"
        )
    batch, channels, frames = latent.shape
    mask = F.interpolate(mask.to(torch.float32), size=frames, mode="linear")
    mask = mask.repeat(math.ceil(batch / mask.shape[0]), math.ceil(channels / mask.shape[1]), 1)
    return mask[:batch, :channels].to(latent)


@dataclass(frozen=True)
class _Masked:
    """The guided model where a mask keeps part of the latent: that part of x follows the latent's own path."""

    denoise: Denoise
    mask: Tensor
    latent: Tensor
    noise: Tensor
    mask_at: MaskAt

    def __call__(self, x: Tensor, sigma: Tensor, *, with_unconditional: bool) -> Estimate:
        mask = self.mask_at(sigma, self.mask)
        x = x * mask + noised(self.latent, self.noise, sigma) * (1 - mask)
        x0, unconditional = self.denoise(x, sigma, with_unconditional=with_unconditional)
        return Estimate(x0 * mask + self.latent * (1 - mask), unconditional)


def _same_mask(sigma: Tensor, mask: Tensor) -> Tensor:
    return mask


class _LastEstimate:
    """A report that keeps the last clean estimate and passes on what it is told."""

    def __init__(self, report: Report | None) -> None:
        self.x0: Tensor | None = None
        self._report = report

    def __call__(self, step: int, x0: Tensor, x: Tensor) -> None:
        self.x0 = x0
        if self._report is not None:
            self._report(step, x0, x)


def _check(noise: Tensor, latent: Tensor, sigmas: Tensor) -> None:
    problems = []
    if latent.ndim != 3 or noise.shape != latent.shape:
        problems.append(
            f"the noise has the shape {list(noise.shape)} and the latent {list(latent.shape)}; both must be "
            "[batch, channels, frames] and equal"
        )
    values = sigmas.tolist()
    outside = [value for value in values if not 0 <= value <= _HIGHEST_LEVEL]
    if outside:
        problems.append(
            f"sigmas {outside} are outside 0 to 1, the noise levels of a flow model: lower sigma_max to 1 or use "
            "BasicScheduler"
        )
    if 0 in values[:-1]:
        problems.append("only the last of the sigmas may be 0: shorten the list after its first 0")
    if problems:
        raise ValueError("sampling: " + "; ".join(problems))

"""Samplers that step below the next level and renoise up to it, or renoise the clean estimate.

Independent noise per step, see ``fresh_noise.gaussian``; the step to 0 adds none.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .contract import Run, flow_descent, slope
from .fresh_noise import gaussian
from .runge_kutta import midpoint_slope


def euler_ancestral(run: Run, x: Tensor, eta: float = 1.0, s_noise: float = 1.0) -> Tensor:
    """Euler's step, first order (k-diffusion; on the flow's path)."""
    noise = gaussian(x, run.seed)
    for i, sigma, sigma_next in run.steps():
        x0 = run.begin(i, x, sigma)
        if sigma_next == 0:
            x = x0
            continue
        down, scale, std = flow_descent(sigma, sigma_next, eta)
        x = _toward(x, x0, down / sigma)
        if eta > 0:
            x = scale * x + noise() * s_noise * std
    return x


def dpm_2_ancestral(run: Run, x: Tensor, eta: float = 1.0, s_noise: float = 1.0) -> Tensor:
    """The slope at the geometric mean of the levels, second order in its deterministic part."""
    noise = gaussian(x, run.seed)
    for i, sigma, sigma_next in run.steps():
        d = slope(x, run.begin(i, x, sigma), sigma)
        down, scale, std = flow_descent(sigma, sigma_next, eta)
        if down == 0:
            x = x + d * (down - sigma)
            continue
        x = x + midpoint_slope(run, x, d, sigma, down) * (down - sigma)
        x = scale * x + noise() * s_noise * std
    return x


def dpmpp_2s_ancestral(run: Run, x: Tensor, eta: float = 1.0, s_noise: float = 1.0) -> Tensor:
    """The estimate halfway in the log signal-to-noise ratio (Lu et al. 2022b, DPM-Solver++(2S))."""
    noise = gaussian(x, run.seed)
    for i, sigma, sigma_next in run.steps():
        x0 = run.begin(i, x, sigma)
        down, scale, std = flow_descent(sigma, sigma_next, eta)
        if sigma_next == 0:
            x = x + slope(x, x0, sigma) * (down - sigma)
            continue
        middle = _middle(sigma, down)
        x0 = run.estimate(_toward(x, x0, middle / sigma), middle)
        x = _toward(x, x0, down / sigma)
        if eta > 0:
            x = scale * x + noise() * s_noise * std
    return x


def lcm(run: Run, x: Tensor) -> Tensor:
    """The clean estimate with all its noise drawn afresh (Luo et al. 2023)."""
    noise = gaussian(x, run.seed)
    for i, sigma, sigma_next in run.steps():
        x = run.begin(i, x, sigma)
        if sigma_next > 0:
            x = sigma_next * noise() + (1 - sigma_next) * x
    return x


def ddpm(run: Run, x: Tensor) -> Tensor:
    """The posterior mean and variance of a variance-preserving process (Ho et al. 2020), its levels taken as sigma."""
    noise = gaussian(x, run.seed)
    for i, sigma, sigma_next in run.steps():
        d = slope(x, run.begin(i, x, sigma), sigma)
        kept, kept_next = 1 / (sigma * sigma + 1), 1 / (sigma_next * sigma_next + 1)
        alpha = kept / kept_next
        x = x / torch.sqrt(1 + sigma**2)
        x = (1 / alpha).sqrt() * (x - (1 - alpha) * d / (1 - kept).sqrt())
        if sigma_next > 0:
            variance = (1 - alpha) * (1 - kept_next) / (1 - kept)
            x = (x + variance.sqrt() * noise()) * torch.sqrt(1 + sigma_next**2)
    return x


def _toward(x: Tensor, x0: Tensor, ratio: Tensor) -> Tensor:
    """x at ``ratio`` of its level, if the clean estimate stays."""
    return ratio * x + (1 - ratio) * x0


def _middle(sigma: Tensor, down: Tensor) -> Tensor:
    if sigma == 1:  # infinitely far from every other level
        return torch.tensor(0.9999)
    start, end = ((1 - sigma) / sigma).log(), ((1 - down) / down).log()
    return 1 / ((start + (end - start) / 2).exp() + 1)

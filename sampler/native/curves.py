"""Noise levels by formula, from sigma_max down to sigma_min and then 0: ComfyUI's scheduler nodes without a model.

Float32 tensors ``[steps + 1]``. Each function raises ValueError for arguments outside its formula.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def karras(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """``sigma^(1/rho)`` evenly spaced (Karras et al. 2022, equation 5)."""
    _require(steps, rho=rho)
    first, last = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return ending_at_zero((first + torch.linspace(0, 1, steps) * (last - first)) ** rho)


def exponential(steps: int, sigma_min: float, sigma_max: float) -> Tensor:
    """``log sigma`` evenly spaced."""
    _require(steps, sigma_min=sigma_min, sigma_max=sigma_max)
    return ending_at_zero(torch.linspace(math.log(sigma_max), math.log(sigma_min), steps).exp())


def polyexponential(steps: int, sigma_min: float, sigma_max: float, rho: float = 1.0) -> Tensor:
    """``log sigma`` spaced as a power rho; 1 is exponential."""
    _require(steps, sigma_min=sigma_min, sigma_max=sigma_max)
    low, high = math.log(sigma_min), math.log(sigma_max)
    return ending_at_zero(torch.exp(torch.linspace(1, 0, steps) ** rho * (high - low) + low))


def kl_optimal(steps: int, sigma_min: float, sigma_max: float) -> Tensor:
    """``arctan sigma`` evenly spaced (Sabour, Fidler and Kreis 2024, closed form for Gaussian data)."""
    if steps < 2:
        raise ValueError(f"kl_optimal has no levels for {steps} step: use at least 2 steps or another scheduler")
    fraction = torch.arange(steps, dtype=torch.float32) / (steps - 1)
    return ending_at_zero((fraction * math.atan(sigma_min) + (1 - fraction) * math.atan(sigma_max)).tan())


def laplace(steps: int, sigma_min: float, sigma_max: float, mu: float = 0.0, beta: float = 0.5) -> Tensor:
    """``log sigma`` at evenly spaced quantiles of a Laplace distribution (Hang et al. 2024); ``[steps]``, without 0."""
    _require(steps)
    offset = 0.5 - torch.linspace(0, 1, steps)
    # 1e-5 keeps the outermost quantiles finite.
    log_sigmas = mu - beta * torch.sign(offset) * torch.log(1 - 2 * torch.abs(offset) + 1e-5)
    return torch.clamp(torch.exp(log_sigmas), min=sigma_min, max=sigma_max)


def variance_preserving(steps: int, beta_d: float = 19.9, beta_min: float = 0.1, eps_s: float = 1e-3) -> Tensor:
    """Evenly spaced times of the variance-preserving SDE (Song et al. 2021), from 1 to eps_s."""
    _require(steps)
    t = torch.linspace(1, eps_s, steps)
    return ending_at_zero(torch.sqrt(torch.special.expm1(beta_d * t**2 / 2 + beta_min * t)))


def ending_at_zero(sigmas: Tensor) -> Tensor:
    """The levels and a last one of 0."""
    return torch.cat([sigmas, sigmas.new_zeros(1)])


def _require(steps: int, **positive: float) -> None:
    problems = [] if steps >= 1 else [f"steps is {steps}, it must be at least 1"]
    problems += [f"{name} is {value}, it must be above 0" for name, value in positive.items() if not value > 0]
    if problems:
        raise ValueError("sigmas: " + "; ".join(problems))

"""SEEDS: stochastic exponential single-step solvers on the clean estimate (Gonzalez et al. 2023, arXiv 2305.14267).

A step of length h in the log signal-to-noise ratio damps x and its fresh noise by exp(-eta h); the noise of a stage
continues that of the stage before it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..levels import from_half_log_snr, half_log_snr
from .contract import Run
from .fresh_noise import gaussian


class _StageNoise:
    """The noise of a step of length h, in units of sigma, that grows from stage to stage."""

    def __init__(self, fresh: Callable[[], Tensor] | None, h: Tensor, eta: float) -> None:
        self._fresh, self._h, self._eta = fresh, h, eta
        self._value: Tensor | None = None
        self._reached = 0.0

    def advance(self, fraction: float) -> Tensor | float:
        """The noise after this fraction of the step; 0 for a run without fresh noise."""
        if self._fresh is None:
            return 0.0
        damping = (self._reached - fraction) * self._h * self._eta
        added = (2 * damping).expm1().neg().sqrt() * self._fresh()
        self._value = added if self._value is None else self._value * damping.exp() + added
        self._reached = fraction
        return self._value


def seeds_2(
    run: Run, x: Tensor, eta: float = 1.0, s_noise: float = 1.0, r: float = 0.5, solver_type: str = "phi_1"
) -> Tensor:
    """Two stages, the second after the fraction r. solver_type: phi_1 or phi_2, how the estimates are weighted;
    ValueError for another."""
    if solver_type not in ("phi_1", "phi_2"):
        raise ValueError(f"solver_type is {solver_type!r}, allowed phi_1, phi_2")
    noise = gaussian(x, run.seed) if eta > 0 and s_noise > 0 else None
    for i, sigma, sigma_next in run.steps(run.levels.below_one(run.sigmas)):
        x0 = run.begin(i, x, sigma)
        if sigma_next == 0:
            return x0
        start, end = half_log_snr(sigma), half_log_snr(sigma_next)
        h = end - start
        h_eta = h * (eta + 1)
        step_noise = _StageNoise(noise, h, eta)
        inner = torch.lerp(start, end, r)
        sigma_inner = from_half_log_snr(inner)

        ahead = sigma_inner / sigma * (-r * h * eta).exp() * x - sigma_inner * inner.exp() * _phi_1(-r * h_eta) * x0
        ahead = ahead + step_noise.advance(r) * sigma_inner * s_noise
        x0_ahead = run.estimate(ahead, sigma_inner)

        if solver_type == "phi_1":
            increment = _phi_1(-h_eta) * torch.lerp(x0, x0_ahead, 1 / (2 * r))
        else:
            weight = _phi_2(-h_eta) / r
            increment = (_phi_1(-h_eta) - weight) * x0 + weight * x0_ahead
        x = sigma_next / sigma * (-h * eta).exp() * x - sigma_next * end.exp() * increment
        x = x + step_noise.advance(1.0) * sigma_next * s_noise
    return x


def exp_heun_2_x0(run: Run, x: Tensor, solver_type: str = "phi_2") -> Tensor:
    """Exponential Heun: seeds_2 with its second stage at the end of the step and without noise."""
    return seeds_2(run, x, 0.0, 0.0, 1.0, solver_type)


def exp_heun_2_x0_sde(
    run: Run, x: Tensor, eta: float = 1.0, s_noise: float = 1.0, solver_type: str = "phi_2"
) -> Tensor:
    """exp_heun_2_x0 with fresh noise."""
    return seeds_2(run, x, eta, s_noise, 1.0, solver_type)


def seeds_3(run: Run, x: Tensor, eta: float = 1.0, s_noise: float = 1.0) -> Tensor:
    """Three stages, at a third and two thirds of the step."""
    noise = gaussian(x, run.seed) if eta > 0 and s_noise > 0 else None
    for i, sigma, sigma_next in run.steps(run.levels.below_one(run.sigmas)):
        x0 = run.begin(i, x, sigma)
        if sigma_next == 0:
            return x0
        x = _three_stages(run, x, x0, (sigma, sigma_next), eta, s_noise, noise)
    return x


def _three_stages(
    run: Run,
    x: Tensor,
    x0: Tensor,
    step: tuple[Tensor, Tensor],
    eta: float,
    s_noise: float,
    noise: Callable[[], Tensor] | None,
) -> Tensor:
    sigma, sigma_next = step
    start, end = half_log_snr(sigma), half_log_snr(sigma_next)
    h = end - start
    step_noise = _StageNoise(noise, h, eta)

    def advance(fraction: float, ratio: Tensor, level: Tensor, latest: Tensor, weight: Tensor | float) -> Tensor:
        increment = (_phi_1(-fraction * h * (eta + 1)) - weight) * x0 + weight * latest
        state = level / sigma * (-fraction * h * eta).exp() * x - level * ratio.exp() * increment
        return state + step_noise.advance(fraction) * level * s_noise

    third, two_thirds = torch.lerp(start, end, 1 / 3), torch.lerp(start, end, 2 / 3)
    sigma_third, sigma_two_thirds = from_half_log_snr(third), from_half_log_snr(two_thirds)
    x0_third = run.estimate(advance(1 / 3, third, sigma_third, x0, 0.0), sigma_third)
    weight = 2 * _phi_2(-2 / 3 * h * (eta + 1))
    x0_two_thirds = run.estimate(advance(2 / 3, two_thirds, sigma_two_thirds, x0_third, weight), sigma_two_thirds)
    return advance(1.0, end, sigma_next, x0_two_thirds, _phi_2(-h * (eta + 1)) * 1.5)


def _phi_1(h: Tensor) -> Tensor:
    """``h phi_1(h)`` of exponential integrators."""
    return torch.expm1(h)


def _phi_2(h: Tensor) -> Tensor:
    """``h phi_2(h)``."""
    return (torch.expm1(h) - h) / h

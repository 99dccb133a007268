"""SDE-DPM-Solver++ (Lu et al. 2022b): estimates integrated over the log signal-to-noise ratio, Brownian noise.

``on_device`` draws the noise on the device of x instead of the CPU, ComfyUI's names that end in ``_gpu``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from ..levels import from_half_log_snr, half_log_snr
from .contract import Run, exploding_descent
from .fresh_noise import BrownianNoise, brownian

# What a step adds, over alpha, for a changing estimate: from its length times 1 + eta, the last steps' lengths and
# their estimates, newest first.
_Correction = Callable[[Tensor, list[Tensor], list[Tensor]], "Tensor | None"]


def dpmpp_sde(
    run: Run, x: Tensor, eta: float = 1.0, s_noise: float = 1.0, r: float = 0.5, on_device: bool = False
) -> Tensor:
    """Two evaluations per step, the second after the fraction r of it."""
    if len(run.sigmas) < 2:
        return x
    noise = brownian(x, run.sigmas, run.seed, on_device)
    weight = 1 / (2 * r)
    for i, sigma, sigma_next in run.steps(run.levels.below_one(run.sigmas)):
        x0 = run.begin(i, x, sigma)
        if sigma_next == 0:
            return x0
        start, end = _Level(sigma, half_log_snr(sigma)), _Level(sigma_next, half_log_snr(sigma_next))
        ratio = start.ratio + r * (end.ratio - start.ratio)
        inner = _Level(from_half_log_snr(ratio), ratio)
        ahead = _renoised(x, x0, start, inner, noise, eta, s_noise)
        x0 = (1 - weight) * x0 + weight * run.estimate(ahead, inner.sigma)
        x = _renoised(x, x0, start, end, noise, eta, s_noise)
    return x


class _Level(NamedTuple):
    """A level and its log signal-to-noise ratio."""

    sigma: Tensor
    ratio: Tensor


def _renoised(
    x: Tensor, x0: Tensor, start: _Level, end: _Level, noise: BrownianNoise, eta: float, s_noise: float
) -> Tensor:
    """x at the end, for a constant estimate, with fresh noise."""
    alpha, alpha_end = start.sigma * start.ratio.exp(), end.sigma * end.ratio.exp()
    down, up = exploding_descent(start.ratio.neg().exp(), end.ratio.neg().exp(), eta)
    h = down.log().neg() - start.ratio
    x = (alpha_end / alpha) * (-h).exp() * x - alpha_end * (-h).expm1() * x0
    return x + alpha_end * noise(start.sigma, end.sigma) * s_noise * up if eta > 0 and s_noise > 0 else x


def dpmpp_2m_sde(
    run: Run,
    x: Tensor,
    eta: float = 1.0,
    s_noise: float = 1.0,
    solver_type: str = "midpoint",
    on_device: bool = False,
) -> Tensor:
    """Second order from the last two estimates. solver_type: midpoint or heun; ValueError for another."""
    if solver_type not in ("midpoint", "heun"):
        raise ValueError(f"solver_type is {solver_type!r}, allowed midpoint, heun")

    def correction(h_eta: Tensor, lengths: list[Tensor], estimates: list[Tensor]) -> Tensor | None:
        if len(estimates) < 2:
            return None
        first = (-h_eta).expm1().neg()
        weight = 0.5 * first if solver_type == "midpoint" else first / (-h_eta) + 1
        return weight * (lengths[0] / lengths[1]) * (estimates[0] - estimates[1])

    return _multistep(run, x, eta, s_noise, on_device, 2, correction)


def dpmpp_3m_sde(run: Run, x: Tensor, eta: float = 1.0, s_noise: float = 1.0, on_device: bool = False) -> Tensor:
    """Third order from the last three estimates."""
    return _multistep(run, x, eta, s_noise, on_device, 3, _third_order_correction)


def _third_order_correction(h_eta: Tensor, lengths: list[Tensor], estimates: list[Tensor]) -> Tensor | None:
    if len(estimates) < 2:
        return None
    phi_2 = h_eta.neg().expm1() / h_eta + 1
    r0 = lengths[1] / lengths[0]
    change = (estimates[0] - estimates[1]) / r0
    if len(estimates) < 3:
        return phi_2 * change
    r1 = lengths[2] / lengths[0]
    earlier = (estimates[1] - estimates[2]) / r1
    curvature = (change - earlier) / (r0 + r1)
    phi_3 = phi_2 / h_eta - 0.5
    return phi_2 * (change + curvature * r0) - phi_3 * curvature


def _multistep(
    run: Run, x: Tensor, eta: float, s_noise: float, on_device: bool, order: int, correction: _Correction
) -> Tensor:
    if len(run.sigmas) < 2:
        return x
    noise = brownian(x, run.sigmas, run.seed, on_device)
    lengths: list[Tensor] = []  # of the steps in the log signal-to-noise ratio, newest first
    estimates: list[Tensor] = []  # newest first
    for i, sigma, sigma_next in run.steps(run.levels.below_one(run.sigmas)):
        x0 = run.begin(i, x, sigma)
        if sigma_next == 0:
            return x0
        ratio_next = half_log_snr(sigma_next)
        h = ratio_next - half_log_snr(sigma)
        lengths, estimates = [h, *lengths][:order], [x0, *estimates][:order]
        alpha_next = sigma_next * ratio_next.exp()
        h_eta = h * (eta + 1)
        x = sigma_next / sigma * (-h * eta).exp() * x - alpha_next * (-h_eta).expm1() * x0
        change = correction(h_eta, lengths, estimates)
        if change is not None:
            x = x + alpha_next * change
        if eta > 0 and s_noise > 0:
            x = x + noise(sigma, sigma_next) * sigma_next * (-2 * h * eta).expm1().neg().sqrt() * s_noise
    return x

"""Multistep samplers on the clean estimate, over ``-log sigma``, with or without fresh noise.

Those with guidance in their name (CFG++, Chung et al. 2024) renoise with the unconditional estimate.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .contract import Run, exploding_descent, slope
from .fresh_noise import gaussian


def dpmpp_2m(run: Run, x: Tensor) -> Tensor:
    """DPM-Solver++(2M), second order (Lu et al. 2022b)."""
    previous, h_previous = None, None
    for i, sigma, sigma_next in run.steps():
        x0 = run.begin(i, x, sigma)
        h = sigma.log() - sigma_next.log()
        target = x0
        if previous is not None and h_previous is not None and sigma_next > 0:
            r = h_previous / h
            target = (1 + 1 / (2 * r)) * x0 - (1 / (2 * r)) * previous
        x = (sigma_next / sigma) * x - (-h).expm1() * target
        previous, h_previous = x0, h
    return x


def dpmpp_2m_cfg_pp(run: Run, x: Tensor) -> Tensor:
    """dpmpp_2m with CFG++."""
    previous, h_previous = None, None
    for i, sigma, sigma_next in run.steps():
        x0, unconditional = run.begin_both(i, x, sigma)
        h = sigma.log() - sigma_next.log()
        target = x0 - torch.exp(-h) * unconditional
        if previous is not None and h_previous is not None and sigma_next > 0:
            target = target - torch.expm1(-h) * (h / (2 * h_previous)) * (x0 - previous)
        x = target + torch.exp(-h) * x
        previous, h_previous = unconditional, h
    return x


def res_multistep(run: Run, x: Tensor) -> Tensor:
    """Second-order exponential multistep (Zhang et al. 2023, arXiv 2308.02157)."""
    return _res_multistep(run, x, 0.0, 1.0)


def res_multistep_ancestral(run: Run, x: Tensor, eta: float = 1.0, s_noise: float = 1.0) -> Tensor:
    """res_multistep with fresh noise."""
    return _res_multistep(run, x, eta, s_noise)


def _res_multistep(run: Run, x: Tensor, eta: float, s_noise: float) -> Tensor:
    """CFG++ if the run asks for the unconditional estimate."""
    noise = gaussian(x, run.seed)
    previous: tuple[Tensor, Tensor, Tensor] | None = None  # of the previous step: level, level stepped to, estimate
    for i, sigma, sigma_next in run.steps():
        x0, unconditional = run.begin_both(i, x, sigma)
        kept = unconditional if run.with_unconditional else x0
        down, up = exploding_descent(sigma, sigma_next, eta)
        if previous is None or down == 0:
            x = (
                x0 + slope(x, kept, sigma) * down
                if run.with_unconditional
                else x + slope(x, x0, sigma) * (down - sigma)
            )
        else:
            x = _second_order(x + (x0 - kept), kept, sigma, down, previous)
        if sigma_next > 0 and eta > 0:
            x = x + noise() * s_noise * up
        previous = sigma, down, kept
    return x


def _second_order(
    x: Tensor, x0: Tensor, sigma: Tensor, down: Tensor, previous: tuple[Tensor, Tensor, Tensor]
) -> Tensor:
    sigma_previous, down_previous, x0_previous = previous
    time = sigma.log().neg()
    h = down.log().neg() - time
    c2 = (sigma_previous.log().neg() - down_previous.log().neg()) / h
    phi_1 = torch.expm1(-h) / -h
    phi_2 = (phi_1 - 1) / -h
    weight = torch.nan_to_num(phi_1 - phi_2 / c2, nan=0.0)
    weight_previous = torch.nan_to_num(phi_2 / c2, nan=0.0)
    return h.neg().exp() * x + h * (weight * x0 + weight_previous * x0_previous)


def gradient_estimation(run: Run, x: Tensor, ge_gamma: float = 2.0) -> Tensor:
    """Euler's step with the slope extrapolated from the last one (Permenter and Yuan 2024).

    CFG++ if the run asks for the unconditional estimate.
    """
    previous = None
    for i, sigma, sigma_next in run.steps():
        x0, unconditional = run.begin_both(i, x, sigma)
        d = slope(x, unconditional if run.with_unconditional else x0, sigma)
        if sigma_next == 0:
            return x0
        h = sigma_next - sigma
        x = x0 + d * sigma_next if run.with_unconditional else x + d * h
        if previous is not None:
            x = x + (ge_gamma - 1) * (d - previous) * h
        previous = d
    return x

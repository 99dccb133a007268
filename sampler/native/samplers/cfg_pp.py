"""CFG++ (Chung et al. 2024): steps from the guided estimate, renoised with the unconditional one."""

from __future__ import annotations

from torch import Tensor

from ..levels import half_log_snr
from .contract import Run, exploding_descent, slope
from .fresh_noise import gaussian


def euler_cfg_pp(run: Run, x: Tensor) -> Tensor:
    """Without fresh noise."""
    return euler_ancestral_cfg_pp(run, x, 0.0, 0.0)


def euler_ancestral_cfg_pp(run: Run, x: Tensor, eta: float = 1.0, s_noise: float = 1.0) -> Tensor:
    """DDIM's stochastic step on the flow's path."""
    noise = gaussian(x, run.seed) if eta > 0 else None
    for i, sigma, sigma_next in run.steps():
        x0, unconditional = run.begin_both(i, x, sigma)
        if sigma_next == 0:
            return x0
        alpha = sigma * half_log_snr(sigma).exp()
        alpha_next = sigma_next * half_log_snr(sigma_next).exp()
        d = slope(x, alpha * unconditional, sigma)
        down, up = exploding_descent(sigma / alpha, sigma_next / alpha_next, eta)
        x = alpha_next * x0 + alpha_next * down * d
        if noise is not None and s_noise > 0:
            x = x + alpha_next * noise() * s_noise * up
    return x


def dpmpp_2s_ancestral_cfg_pp(run: Run, x: Tensor, eta: float = 1.0, s_noise: float = 1.0) -> Tensor:
    """DPM-Solver++(2S) over ``-log sigma`` with fresh noise."""
    noise = gaussian(x, run.seed)
    for i, sigma, sigma_next in run.steps():
        x0, unconditional = run.begin_both(i, x, sigma)
        down, up = exploding_descent(sigma, sigma_next, eta)
        if down == 0:
            x = x0 + slope(x, unconditional, sigma) * down
        else:
            x = _second_order(run, x, x0, unconditional, sigma, down)
        if sigma_next > 0:
            x = x + noise() * s_noise * up
    return x


def _second_order(run: Run, x: Tensor, x0: Tensor, unconditional: Tensor, sigma: Tensor, down: Tensor) -> Tensor:
    """The step with the estimate halfway in log sigma, whose unconditional estimate serves the rest of the step."""
    start = sigma.log().neg()
    h = down.log().neg() - start
    middle = (start + h / 2).neg().exp()
    ahead = (middle / sigma) * (x + (x0 - unconditional)) - (-h / 2).expm1() * x0
    x0_ahead, unconditional_ahead = run.estimate_both(ahead, middle)
    return (down / sigma) * (x + (x0 - unconditional_ahead)) - (-h).expm1() * x0_ahead

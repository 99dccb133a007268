"""Deterministic samplers without a history, on the slope ``(x - x0) / sigma``."""

from __future__ import annotations

from torch import Tensor

from ...solvers.interpolation import combine
from .contract import Run, slope


def euler(run: Run, x: Tensor) -> Tensor:
    """First order (Karras et al. 2022 without churn)."""
    for i, sigma, sigma_next in run.steps():
        x = x + slope(x, run.begin(i, x, sigma), sigma) * (sigma_next - sigma)
    return x


def heun(run: Run, x: Tensor) -> Tensor:
    """Second order: the mean slope of both ends (Karras et al. 2022, algorithm 1)."""
    for i, sigma, sigma_next in run.steps():
        h = sigma_next - sigma
        d = slope(x, run.begin(i, x, sigma), sigma)
        if sigma_next > 0:
            ahead = x + d * h
            d = (d + slope(ahead, run.estimate(ahead, sigma_next), sigma_next)) / 2
        x = x + d * h
    return x


def dpm_2(run: Run, x: Tensor) -> Tensor:
    """Second order: the slope at the geometric mean of the levels (Karras et al. 2022, DPM-Solver-2)."""
    for i, sigma, sigma_next in run.steps():
        d = slope(x, run.begin(i, x, sigma), sigma)
        if sigma_next > 0:
            d = midpoint_slope(run, x, d, sigma, sigma_next)
        x = x + d * (sigma_next - sigma)
    return x


def midpoint_slope(run: Run, x: Tensor, d: Tensor, sigma: Tensor, sigma_next: Tensor) -> Tensor:
    """The slope halfway to the next level in log sigma, given the slope d at x."""
    middle = sigma.log().lerp(sigma_next.log(), 0.5).exp()
    halfway = x + d * (middle - sigma)
    return slope(halfway, run.estimate(halfway, middle), middle)


def heunpp2(run: Run, x: Tensor) -> Tensor:
    """Heun++ (Carzit, sd-webui-samplers-scheduler): two further slopes, which weigh in proportion to their levels."""
    sigmas = run.sigmas
    for i, sigma, sigma_next in run.steps():
        slopes = [slope(x, run.begin(i, x, sigma), sigma)]
        ahead, level = x, sigma
        for following in sigmas[i + 1 : min(i + 3, len(sigmas) - 1)]:  # never the last level
            ahead = ahead + slopes[-1] * (following - level)
            slopes.append(slope(ahead, run.estimate(ahead, following), following))
            level = following
        later_weights = (sigmas[i + 1 : i + len(slopes)] / (len(slopes) * sigmas[0])).tolist()
        x = x + combine([1 - sum(later_weights), *later_weights], slopes) * (sigma_next - sigma)
    return x

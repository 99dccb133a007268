"""Schedules of variance-exploding models: Karras, exponential and KL-optimal."""

from __future__ import annotations

import math

from .checks import require, require_terminal, spread


def karras(steps: int, *, rho: float, terminal: float, start: float) -> list[float]:
    """``t^(1/rho)`` evenly spaced from the start to ``terminal``, then 0 (Karras et al. 2022, equation 5).

    rho 1 spaces t evenly, rho 7 is the paper's; a larger rho puts more levels close to the terminal.
    """
    require(steps, start, {"rho": rho})
    require_terminal(terminal, start)
    return [start, *(root**rho for root in spread(start ** (1 / rho), terminal ** (1 / rho), steps)), 0.0]


def exponential(steps: int, *, terminal: float, start: float) -> list[float]:
    """``log t`` evenly spaced from the start to ``terminal``, then 0: the limit of karras for large rho.

    The geometric series of Song and Ermon (2019) with k-diffusion's end points.
    """
    require(steps, start)
    require_terminal(terminal, start)
    return [start, *(math.exp(log) for log in spread(math.log(start), math.log(terminal), steps)), 0.0]


def kl_optimal(steps: int, *, terminal: float, start: float) -> list[float]:
    """``arctan t`` evenly spaced from the start to ``terminal``, then 0.

    The closed form that Align Your Steps (Sabour, Fidler and Kreis 2024) derives for Gaussian data.
    """
    require(steps, start)
    require_terminal(terminal, start)
    return [start, *(math.tan(angle) for angle in spread(math.atan(start), math.atan(terminal), steps)), 0.0]

"""Levels evenly spaced in the log signal-to-noise ratio."""

from __future__ import annotations

import math

from .checks import require, require_terminal, spread


def log_snr_uniform(steps: int, *, terminal: float, start: float) -> list[float]:
    """The log signal-to-noise ratio ``log((1 - t) / t)`` evenly spaced down to ``terminal``, then 0.

    The spacing of DPM-Solver (Lu et al. 2022, section 3.3). At t = 1 the ratio is infinite, so the even spacing begins
    at ``1 - terminal`` and its first level is replaced by the start; it begins at a start below that. From 1 the
    levels mirror each other: ``t_i + t_(steps - 1 - i) = 1`` inside.
    """
    require(steps, start)
    require_terminal(terminal, min(start, 0.5), "lower of start and 0.5")
    first = _log_snr(min(start, 1 - terminal))
    return [start, *(1 / (1 + math.exp(ratio)) for ratio in spread(first, _log_snr(terminal), steps)), 0.0]


def _log_snr(t: float) -> float:
    return math.log((1 - t) / t)

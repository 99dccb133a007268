"""Levels evenly spaced in the log signal-to-noise ratio."""

from __future__ import annotations

import math

from .checks import require, require_terminal, spread


def log_snr_uniform(steps: int, *, terminal: float, start: float) -> list[float]:
    """The log signal-to-noise ratio ``log((1 - t) / t)`` evenly spaced down to ``terminal``, then 0.

    The spacing of DPM-Solver (Lu et al. 2022, section 3.3). The ratio is infinite at t = 1, so the even spacing begins
    at ``1 - terminal``, or at the start if that is lower, and its first level is replaced by the start. From 1 the
    inner levels are symmetric: ``t_i + t_(steps - 1 - i) = 1``.
    """
    require(steps, start)
    require_terminal(terminal, min(start, 0.5), "lower of start and 0.5")
    first = _log_snr(min(start, 1 - terminal))
    return [start, *(1 / (1 + math.exp(ratio)) for ratio in spread(first, _log_snr(terminal), steps)), 0.0]


def _log_snr(t: float) -> float:
    return math.log((1 - t) / t)

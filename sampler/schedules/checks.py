"""Argument checks and spacing shared by the schedule formulas."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np


def require(steps: int, start: float, positive: Mapping[str, float] | None = None) -> None:
    """Raise ValueError unless steps >= 1, 0 < start <= 1 and all values of ``positive`` are finite and above 0."""
    problems = [] if steps >= 1 else [f"steps is {steps}, it must be at least 1"]
    if not 0 < start <= 1:
        problems.append(f"start is {start}, it must be above 0 and at most 1 (pure noise)")
    for name, value in (positive or {}).items():
        if not 0 < value < math.inf:
            problems.append(f"{name} is {value}, it must be a number above 0")
    if problems:
        raise ValueError("schedule: " + "; ".join(problems))


def require_terminal(terminal: float, limit: float, limit_name: str = "start") -> None:
    """Raise ValueError unless terminal is above 0 and below the limit."""
    if not 0 < terminal < limit:
        raise ValueError(f"schedule: terminal is {terminal}, it must be above 0 and below the {limit_name} ({limit:g})")


def spread(first: float, last: float, steps: int) -> list[float]:
    """``steps`` evenly spaced values from first to last, without the first."""
    return [first + (last - first) * i / (steps - 1) for i in range(1, steps)]


def distinct(start: float, levels: Iterable[float]) -> list[float]:
    """``start`` and the levels after it, each lowered to the next float32 if it would equal the previous one there.

    SIGMAS are float32, and a step between equal levels does nothing.
    """
    result = [start]
    for level in levels:
        highest = np.nextafter(np.float32(result[-1]), np.float32(0))
        result.append(min(level, float(highest)))
    return result

"""What every schedule formula requires of its arguments, and even spacing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np


def require(steps: int, start: float, positive: Mapping[str, float] | None = None) -> None:
    problems = [] if steps >= 1 else [f"steps is {steps}, it must be at least 1"]
    if not 0 < start <= 1:
        problems.append(f"start is {start}, it must lie above 0 and at most at 1 (pure noise)")
    for name, value in (positive or {}).items():
        if not 0 < value < math.inf:
            problems.append(f"{name} is {value}, it must be a number above 0")
    if problems:
        raise ValueError("schedule: " + "; ".join(problems))


def require_terminal(terminal: float, above: float, what: str = "start") -> None:
    if not 0 < terminal < above:
        raise ValueError(f"schedule: terminal is {terminal}, it must lie above 0 and below the {what} ({above:g})")


def spread(first: float, last: float, steps: int) -> list[float]:
    """``steps`` evenly spaced values from first to last, without the first."""
    return [first + (last - first) * i / (steps - 1) for i in range(1, steps)]


def distinct(start: float, levels: Iterable[float]) -> list[float]:
    """``start`` and the levels after it, each moved down to the next float32 where that type could not tell it from the
    one before: SIGMAS carry float32, and a step between equal levels goes nowhere."""
    result = [start]
    for level in levels:
        below = np.nextafter(np.float32(result[-1]), np.float32(0))
        result.append(min(level, float(below)))
    return result

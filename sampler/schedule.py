"""Schedules: the noise levels t that a run steps through, from 1 (noise) down to 0 (clean)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

Schedule = Callable[[int, float], list[float]]


def linear(steps: int, shift: float) -> list[float]:
    """Evenly spaced levels, moved towards the noisy end by ``t' = s t / (1 + (s - 1) t)``: ``steps + 1`` values.

    The timestep shift of flow-matching models (Esser et al. 2024, section 5.3.2), as the official inference uses it;
    at 8 steps it gives exactly the tables of the turbo checkpoints. float64, while the official code rounds to the
    network's format.

    Raises ValueError for fewer than one step or a shift that is not a positive number.
    """
    problems = []
    if steps < 1:
        problems.append(f"steps is {steps}, it must be at least 1")
    if not (0 < shift < math.inf):
        problems.append(f"shift is {shift}, it must be a number above 0 (1 spaces the steps evenly)")
    if problems:
        raise ValueError("schedule: " + "; ".join(problems))
    even = [(steps - i) / steps for i in range(steps + 1)]
    # 1 - t + s t and not 1 + (s - 1) t: it is s itself at t = 1, so the first level is 1 without rounding.
    return [shift * t / (1 - t + shift * t) for t in even]


def parse_sigmas(text: str) -> list[float]:
    """Read levels that a user typed, separated by commas or white space.

    They fall strictly and end at 0. A first level below 1 is a start from a noised source, see ``denoise.start``.
    Raises ValueError with every problem and its position, counted from 1.
    """
    words = [word for word in re.split(r"[,\s]+", text) if word]
    values = [_number(word) for word in words]
    problems = _problems(values, words)
    if values and not math.isnan(values[-1]) and values[-1] != 0:
        problems.append(f"position {len(values)} ({words[-1]}): the last level must be 0, or noise is left over")
    if problems:
        raise ValueError(
            "custom sigmas: " + "; ".join(problems) + ". Write levels from 1 (noise) down to 0 (clean): 1, 0.75, 0.5, 0"
        )
    return values


def check(sigmas: Sequence[float]) -> None:
    """Raise ValueError, with every problem, unless there are two or more levels in 0 .. 1 that fall strictly."""
    problems = _problems(sigmas, [repr(t) for t in sigmas])
    if problems:
        raise ValueError("schedule: " + "; ".join(problems))


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        return math.nan


def _problems(values: Sequence[float], shown: Sequence[str]) -> list[str]:
    problems = []
    for i, t in enumerate(values):
        where = f"position {i + 1} ({shown[i]})"
        if math.isnan(t):
            problems.append(f"{where}: not a number")
        elif not 0 <= t <= 1:
            problems.append(f"{where}: outside 0 to 1")
        if i > 0 and t >= values[i - 1]:
            problems.append(f"{where}: not below the level before it ({shown[i - 1]})")
    if len(values) < 2:
        problems.append(f"{len(values)} given, at least 2 are needed (one step)")
    return problems


SCHEDULES: dict[str, Schedule] = {"linear": linear}


def schedule(name: str) -> Schedule:
    """A schedule by name: called with steps and shift, it returns the levels."""
    if name not in SCHEDULES:
        raise ValueError(f"unknown schedule {name!r}; known: {', '.join(SCHEDULES)}")
    return SCHEDULES[name]

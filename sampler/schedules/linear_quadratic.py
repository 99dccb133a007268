"""The linear-quadratic schedule."""

from __future__ import annotations

from .checks import require


def linear_quadratic(steps: int, *, threshold: float, start: float) -> list[float]:
    """The first half of the steps removes ``threshold`` of the noise linearly, the second half the rest quadratically.

    The linear-quadratic schedule of Movie Gen (Polyak et al. 2024) with the threshold of Genmo's Mochi. After i of n
    steps, m = n // 2 of them linear, the fraction ``threshold i / m + a max(i - m, 0)^2`` is removed; a makes it 1
    after the last step, and the slopes match at m. It decreases strictly for thresholds below 0.5.
    """
    require(steps, start, {"threshold": threshold})
    if threshold >= 0.5:
        raise ValueError(f"schedule: threshold is {threshold}, it must be below 0.5")
    linear_steps = steps // 2
    if linear_steps == 0:
        return [start, 0.0]
    slope = threshold / linear_steps
    curvature = (1 - slope * steps) / (steps - linear_steps) ** 2
    removed = (slope * i + curvature * max(i - linear_steps, 0) ** 2 for i in range(1, steps))
    return [start, *(start * (1 - fraction) for fraction in removed), 0.0]

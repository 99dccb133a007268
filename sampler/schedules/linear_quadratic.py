"""A linear first half and a quadratic second half."""

from __future__ import annotations

from .checks import require


def linear_quadratic(steps: int, *, threshold: float, start: float) -> list[float]:
    """Half of the steps remove the first ``threshold`` of the noise evenly, the others go quadratically to 0.

    The linear-quadratic schedule of Movie Gen (Polyak et al. 2024) with the threshold of Genmo's Mochi. After i of n
    steps, m = n // 2 of them linear, the share ``threshold i / m + a max(i - m, 0)^2`` is removed; a makes it 1 after
    the last step, and at m the parts join with equal slope. It falls for thresholds below 0.5.
    """
    require(steps, start, {"threshold": threshold})
    if threshold >= 0.5:
        raise ValueError(f"schedule: threshold is {threshold}, it must lie below 0.5")
    linear_steps = steps // 2
    if linear_steps == 0:
        return [start, 0.0]
    slope = threshold / linear_steps
    bend = (1 - slope * steps) / (steps - linear_steps) ** 2
    removed = (slope * i + bend * max(i - linear_steps, 0) ** 2 for i in range(1, steps))
    return [start, *(start * (1 - share) for share in removed), 0.0]

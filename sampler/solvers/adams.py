"""Adams-Bashforth on the velocity: high order at one evaluation per step, from the velocities of earlier steps."""

from __future__ import annotations

from torch import Tensor

from .contract import Evaluate, Stepper
from .interpolation import combine, weights


def ab2() -> Stepper:
    """Second order on any levels; the first step is Euler's (Bashforth and Adams 1883)."""
    return _adams_bashforth(2)


def ab3() -> Stepper:
    """Third order on any levels; the first two steps are of order 1 and 2 (Bashforth and Adams 1883).

    The second step first takes back the error of Euler's first one, which alone would hold the whole run at order 2.
    """
    return _adams_bashforth(3)


def _adams_bashforth(order: int) -> Stepper:
    past: list[tuple[float, Tensor]] = []  # level and velocity of the last steps, newest first

    def step(evaluate: Evaluate, x: Tensor, t: float, t_next: float) -> Tensor:
        velocity = evaluate(x, t)
        if order > 2 and len(past) == 1:
            before, first = past[0]
            x = x + (before - t) / 2 * (first - velocity)  # Heun's step instead, at no evaluation of its own
        past.insert(0, (t, velocity))
        del past[order:]
        h = t - t_next
        moments = (h, h**2 / 2, h**3 / 3)
        factors = weights([t - level for level, _ in past], moments[: len(past)])
        return x - combine(factors, [v for _, v in past])

    return step

"""Adams-Bashforth on the velocity: higher order at one evaluation per step, from earlier steps' velocities."""

from __future__ import annotations

from torch import Tensor

from .contract import Evaluate, Stepper
from .interpolation import combine, weights


def ab2() -> Stepper:
    """Second order on any levels; the first step is Euler's (Bashforth and Adams 1883)."""
    return _adams_bashforth(2)


def ab3() -> Stepper:
    """Third order on any levels; the first two steps have order 1 and 2 (Bashforth and Adams 1883).

    The second step first corrects the error of the first, an Euler step, which would limit the run to order 2.
    """
    return _adams_bashforth(3)


def _adams_bashforth(order: int) -> Stepper:
    history: list[tuple[float, Tensor]] = []  # level and velocity of recent steps, newest first

    def step(evaluate: Evaluate, x: Tensor, t: float, t_next: float) -> Tensor:
        velocity = evaluate(x, t)
        if order > 2 and len(history) == 1:
            first_t, first_velocity = history[0]
            # Turns the Euler step into Heun's without another evaluation.
            x = x + (first_t - t) / 2 * (first_velocity - velocity)
        history.insert(0, (t, velocity))
        del history[order:]
        h = t - t_next
        moments = (h, h**2 / 2, h**3 / 3)
        factors = weights([t - level for level, _ in history], moments[: len(history)])
        return x - combine(factors, [v for _, v in history])

    return step

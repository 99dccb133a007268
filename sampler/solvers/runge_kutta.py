"""Single-step solvers: no history, and more evaluations per step for a higher order.

All evaluations of a step are guided alike and use the same guidance state, so within a step the velocity is a function
of (x, t). The official Heun differs: under APG its second evaluation uses plain CFG.
"""

from __future__ import annotations

from torch import Tensor

from .contract import Evaluate, Stepper


def euler() -> Stepper:
    """First order, one evaluation per step; the official default."""

    def step(evaluate: Evaluate, x: Tensor, t: float, t_next: float) -> Tensor:
        return x - evaluate(x, t) * (t - t_next)

    return step


def heun() -> Stepper:
    """Second order, two evaluations: the mean of the velocities at both ends of Euler's step.

    The last step evaluates at t = 0, as the official inference does.
    """

    def step(evaluate: Evaluate, x: Tensor, t: float, t_next: float) -> Tensor:
        h = t - t_next
        first = evaluate(x, t)
        return x - (first + evaluate(x - h * first, t_next)) * (h / 2)

    return step


def midpoint() -> Stepper:
    """Second order, two evaluations: the velocity in the middle of the step. Never evaluates at t = 0."""

    def step(evaluate: Evaluate, x: Tensor, t: float, t_next: float) -> Tensor:
        h = t - t_next
        return x - h * evaluate(x - (h / 2) * evaluate(x, t), t - h / 2)

    return step


def rk4() -> Stepper:
    """Fourth order, four evaluations (Kutta 1901). The last step evaluates at t = 0."""

    def step(evaluate: Evaluate, x: Tensor, t: float, t_next: float) -> Tensor:
        h, middle = t - t_next, (t + t_next) / 2
        v1 = evaluate(x, t)
        v2 = evaluate(x - (h / 2) * v1, middle)
        v3 = evaluate(x - (h / 2) * v2, middle)
        v4 = evaluate(x - h * v3, t_next)
        return x - (h / 6) * (v1 + 2 * v2 + 2 * v3 + v4)

    return step

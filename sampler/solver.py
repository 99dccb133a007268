"""Solvers: how a run gets from one noise level to the next along the velocity.

The flow is dx/dt = v(x, t) with v = noise - data, followed from t = 1 down to 0.

A solver makes one stepper per run, so a stepper may remember earlier velocities, and no run sees another's. What a
solver needs besides (the seeds of a stochastic one) is bound to it before the run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

Evaluate = Callable[[Tensor, float], Tensor]


class Stepper(Protocol):
    """One run's steps."""

    def __call__(self, evaluate: Evaluate, x: Tensor, t: float, t_next: float) -> Tensor:
        """Take x ``[b t c]`` from level t to t_next < t.

        ``evaluate(x, t)`` is the guided velocity. The first evaluation of every step is at the step's own (x, t): it
        is the one that advances the memory of the guidance and that the estimate of the clean latents is made from.
        Further evaluations may be anywhere and see the same memory.
        """
        ...


Solver = Callable[[], Stepper]


def euler() -> Stepper:
    """First order, one evaluation per step; the official default."""

    def step(evaluate: Evaluate, x: Tensor, t: float, t_next: float) -> Tensor:
        return x - evaluate(x, t) * (t - t_next)

    return step


SOLVERS: dict[str, Solver] = {"euler": euler}


def solver(name: str) -> Solver:
    """A solver by name."""
    if name not in SOLVERS:
        raise ValueError(f"unknown solver {name!r}; known: {', '.join(SOLVERS)}")
    return SOLVERS[name]

"""What a solver is.

The flow is dx/dt = v(x, t) with v = noise - data, followed from t = 1 down to 0. The clean latents that a velocity
points at are x0 = x - t v.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

Evaluate = Callable[[Tensor, float], Tensor]


class Stepper(Protocol):
    """One run's steps. It may remember earlier velocities; no other run sees them."""

    def __call__(self, evaluate: Evaluate, x: Tensor, t: float, t_next: float) -> Tensor:
        """Take x ``[b t c]`` from level t to t_next < t.

        ``evaluate(x, t)`` is the guided velocity. The first evaluation of every step is at the step's own (x, t): it
        is the one that advances the memory of the guidance and that the estimate of the clean latents is made from.
        Further evaluations may be anywhere and see the same memory.

        Between two steps x may be changed (a region put back, a modifier), so a stepper adds to the x it is given and
        never goes back to an x that it remembers.
        """
        ...


# Makes the stepper of one run. What a solver needs besides (the seeds of a stochastic one) is bound to it before.
Solver = Callable[[], Stepper]

"""The interface of a solver.

The flow dx/dt = v(x, t), v = noise - data, is integrated from t = 1 down to 0. The clean estimate is x0 = x - t v.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

Evaluate = Callable[[Tensor, float], Tensor]


class Stepper(Protocol):
    """Takes the steps of one run, and may keep earlier velocities as its state."""

    def __call__(self, evaluate: Evaluate, x: Tensor, t: float, t_next: float) -> Tensor:
        """Take x ``[b t c]`` from level t to t_next < t.

        ``evaluate(x, t)`` is the guided velocity. The first evaluation of every step must be at the step's own (x, t):
        it advances the state of the guidance and gives the clean estimate. Later evaluations may be anywhere and use
        the same state.

        Regions and modifiers change x between steps, so a stepper adds to the x it receives and never returns to an
        earlier one.
        """
        ...


# Makes the stepper of one run. Anything else a solver needs, such as seeds, is bound beforehand.
Solver = Callable[[], Stepper]

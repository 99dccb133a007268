"""Schedule formulas: how the noise levels t of a run are spaced from ``start`` down to 0.

Each takes the number of steps and returns ``steps + 1`` decreasing floats: exactly ``start``, the formula's levels,
exactly 0; one step is ``[start, 0]``. A formula published for the noise level sigma of variance-exploding models is
applied to t itself: along the flow dx/dt = v = (x - x0) / t, which is the equation of those models with sigma = t.
ComfyUI does the same, so a name gives the same levels here and there.

``start`` is 1 for a run from pure noise, below 1 for one from a noised source. ``terminal`` is the last level above 0
of a formula that never reaches 0; the last step goes from there to 0. A formula raises ValueError, with every problem,
for fewer than one step, a start outside 0 .. 1, a terminal not below the start and options outside its domain.
"""

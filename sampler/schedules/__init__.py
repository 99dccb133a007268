"""The formulas of schedules: how the noise levels t of a run are spread from ``start`` down to 0.

Each takes the number of steps and returns ``steps + 1`` floats that fall: exactly ``start``, levels of the formula,
exactly 0; one step is ``[start, 0]``. Where the published formula is written for the noise level sigma of a
variance-exploding model it is applied to t itself: along the flow dx/dt = v = (x - x0) / t, which is that model's
equation with sigma = t. ComfyUI does the same, so a name gives the levels it gives there.

``start`` is 1 for a run from pure noise and lies below 1 for one from a noised source. ``terminal`` is the level where
a formula that never reaches 0 by itself ends; the last step goes from there to 0. A formula raises ValueError, with
every problem, for fewer than one step, a start outside 0 .. 1, a terminal not below the start and options outside the
range it is defined on.
"""

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

from __future__ import annotations

import math

from .quantile import beta_quantile


def linear(steps: int, *, shift: float, start: float) -> list[float]:
    """Evenly spaced times u, shifted: ``t = s u / (1 + (s - 1) u)``.

    The timestep shift of flow-matching models (Esser et al. 2024, section 5.3.2), as the official inference uses it; at
    8 steps from 1 it gives exactly the tables of the turbo checkpoints. float64, while the official code rounds to the
    network's format. From a lower start the levels are the tail of the same schedule with more steps.
    """
    _require(steps, start, shift=shift)
    first = _unshifted(start, shift)
    return [start, *(_shifted(first * (steps - i) / steps, shift) for i in range(1, steps)), 0.0]


def sgm_uniform(steps: int, *, shift: float, terminal: float, start: float) -> list[float]:
    """Evenly spaced times from the start to ``terminal``, the last of them replaced by 0, then shifted as in linear.

    The spacing of Stability AI's generative-models. terminal is a time before the shift, as in ComfyUI, which puts the
    lowest level of its table there (0.003 at shift 3).
    """
    _require(steps, start, shift=shift)
    first = _unshifted(start, shift)
    _require_terminal(terminal, first, "start before the shift")
    times = (first + (terminal - first) * i / steps for i in range(1, steps))
    return [start, *(_shifted(u, shift) for u in times), 0.0]


def karras(steps: int, *, rho: float, terminal: float, start: float) -> list[float]:
    """``t^(1/rho)`` evenly spaced from the start to ``terminal``, then 0 (Karras et al. 2022, equation 5).

    rho 1 spaces t evenly, rho 7 is the paper's; the larger it is, the more levels lie close to the terminal.
    """
    _require(steps, start, rho=rho)
    _require_terminal(terminal, start)
    return [start, *(root**rho for root in _spread(start ** (1 / rho), terminal ** (1 / rho), steps)), 0.0]


def exponential(steps: int, *, terminal: float, start: float) -> list[float]:
    """``log t`` evenly spaced from the start to ``terminal``, then 0: the limit of karras for a large rho.

    The geometric series of Song and Ermon (2019), with the ends that k-diffusion gives it.
    """
    _require(steps, start)
    _require_terminal(terminal, start)
    return [start, *(math.exp(log) for log in _spread(math.log(start), math.log(terminal), steps)), 0.0]


def beta(steps: int, *, alpha: float, beta: float, shift: float, start: float) -> list[float]:
    """Times at evenly spaced quantiles of the beta distribution, ``u_i = F^-1(1 - i / steps)``, shifted as in linear.

    Beta sampling (Lee et al. 2024, arXiv 2407.12173; alpha = beta = 0.6 there). alpha = beta = 1 is linear; below 1
    beta gathers levels at the noisy end and alpha at the clean end. u is continuous here; ComfyUI rounds it to a table
    of 1000 levels, which is up to 0.0015 away and drops repeated levels.
    """
    _require(steps, start, alpha=alpha, beta=beta, shift=shift)
    first = _unshifted(start, shift)
    times = (first * beta_quantile((steps - i) / steps, alpha, beta) for i in range(1, steps))
    return [start, *(_shifted(u, shift) for u in times), 0.0]


def linear_quadratic(steps: int, *, threshold: float, start: float) -> list[float]:
    """Half of the steps remove the first ``threshold`` of the noise evenly, the others go quadratically to 0.

    The linear-quadratic schedule of Movie Gen (Polyak et al. 2024) with the threshold of Genmo's Mochi. After i of n
    steps, m = n // 2 of them linear, the share ``threshold i / m + a max(i - m, 0)^2`` is removed; a makes it 1 after
    the last step, and at m the parts join with equal slope. It falls for thresholds below 0.5.
    """
    _require(steps, start, threshold=threshold)
    if threshold >= 0.5:
        raise ValueError(f"schedule: threshold is {threshold}, it must lie below 0.5")
    linear_steps = steps // 2
    if linear_steps == 0:
        return [start, 0.0]
    slope = threshold / linear_steps
    bend = (1 - slope * steps) / (steps - linear_steps) ** 2
    removed = (slope * i + bend * max(i - linear_steps, 0) ** 2 for i in range(1, steps))
    return [start, *(start * (1 - share) for share in removed), 0.0]


def kl_optimal(steps: int, *, terminal: float, start: float) -> list[float]:
    """``arctan t`` evenly spaced from the start to ``terminal``, then 0.

    The closed form that Align Your Steps (Sabour, Fidler and Kreis 2024) derives for Gaussian data.
    """
    _require(steps, start)
    _require_terminal(terminal, start)
    return [start, *(math.tan(angle) for angle in _spread(math.atan(start), math.atan(terminal), steps)), 0.0]


def log_snr_uniform(steps: int, *, terminal: float, start: float) -> list[float]:
    """The log signal-to-noise ratio ``log((1 - t) / t)`` evenly spaced down to ``terminal``, then 0.

    The spacing of DPM-Solver (Lu et al. 2022, section 3.3). At t = 1 the ratio is infinite, so the even spacing begins
    at ``1 - terminal`` and its first level is replaced by the start; it begins at a start below that. From 1 the
    levels mirror each other: ``t_i + t_(steps - 1 - i) = 1`` inside.
    """
    _require(steps, start)
    _require_terminal(terminal, min(start, 0.5), "lower of start and 0.5")
    first = _log_snr(min(start, 1 - terminal))
    return [start, *(1 / (1 + math.exp(ratio)) for ratio in _spread(first, _log_snr(terminal), steps)), 0.0]


def _log_snr(t: float) -> float:
    return math.log((1 - t) / t)


def _shifted(u: float, shift: float) -> float:
    # 1 - u + s u and not 1 + (s - 1) u: it is s itself at u = 1, so level 1 stays 1 without rounding.
    return shift * u / (1 - u + shift * u)


def _unshifted(t: float, shift: float) -> float:
    return _shifted(t, 1 / shift)


def _spread(first: float, last: float, steps: int) -> list[float]:
    """``steps`` evenly spaced values from first to last, without the first."""
    return [first + (last - first) * i / (steps - 1) for i in range(1, steps)]


def _require(steps: int, start: float, /, **positive: float) -> None:
    problems = [] if steps >= 1 else [f"steps is {steps}, it must be at least 1"]
    if not 0 < start <= 1:
        problems.append(f"start is {start}, it must lie above 0 and at most at 1 (pure noise)")
    for name, value in positive.items():
        if not 0 < value < math.inf:
            problems.append(f"{name} is {value}, it must be a number above 0")
    if problems:
        raise ValueError("schedule: " + "; ".join(problems))


def _require_terminal(terminal: float, above: float, what: str = "start") -> None:
    if not 0 < terminal < above:
        raise ValueError(f"schedule: terminal is {terminal}, it must lie above 0 and below the {what} ({above:g})")

"""Solvers that integrate the clean estimate over l = log((1 - t) / t), half the log signal-to-noise ratio.

In l the flow is x_next = (t_next / t) x + (1 - t_next) * integral of exp(l - l_next) x0(l) dl. Only x0, which changes
slowly, is approximated: a constant x0 is solved exactly on any levels. Both ends of a run are at infinity, l(1) = -inf
and l(0) = inf. There the limit is taken: an estimate at -inf contributes no slope, and the step to 0 lands on x0.

The orders hold between levels inside 0 .. 1. In a run from 1 to 0 the outermost steps stay long in l, however many
steps there are: with n steps the error falls as log(n) / n^2 (2M) and 1 / n^2 (3M, UniPC).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from .contract import Evaluate, Stepper
from .interpolation import combine, weights

Estimate = tuple[float, Tensor]  # t and the clean estimate x0 there


def dpmpp_2m() -> Stepper:
    """DPM-Solver++(2M), second order, one evaluation per step (Lu et al. 2022b, algorithm 2)."""
    return dpmpp_2m_with(0.0, None)


def dpmpp_2m_with(eta: float, fresh: Callable[[Tensor], Tensor] | None) -> Stepper:
    """SDE-DPM-Solver++(2M); eta 0 is the deterministic solver, 1 the reverse SDE (Lu et al. 2022b, appendix).

    fresh: returns standard normal noise like its argument; called once per step that adds noise.
    """
    previous: Estimate | None = None

    def step(evaluate: Evaluate, x: Tensor, t: float, t_next: float) -> Tensor:
        nonlocal previous
        current = t, x - t * evaluate(x, t)
        midpoint = _extrapolate_to_midpoint(current, previous, t_next)
        previous = current
        decay = t_next * (1 - t) / (t * (1 - t_next))  # exp(l - l_next), 0 for a step from 1 or to 0
        x = (t_next / t * decay**eta) * x + ((1 - t_next) * (1 - decay ** (1 + eta))) * midpoint
        noise_std = t_next * math.sqrt(1 - decay ** (2 * eta))
        return x + noise_std * fresh(x) if fresh is not None and noise_std > 0 else x

    return step


def dpmpp_3m() -> Stepper:
    """DPM-Solver++(3M), third order, one evaluation per step: x0 as a parabola through the last three estimates.

    The first two steps have order 1 and 2; the second first corrects the error of the first. The integral is exact, as
    in UniPC: the common form of this solver gives the curvature half its weight, which limits it to second order.
    """
    history: list[Estimate] = []  # newest first

    def step(evaluate: Evaluate, x: Tensor, t: float, t_next: float) -> Tensor:
        current = t, x - t * evaluate(x, t)
        if len(history) == 1:
            x = x + (_corrected_increment(history, current) - (1 - t / history[0][0]) * history[0][1])
        history.insert(0, current)
        del history[3:]
        return (t_next / t) * x + _integral(history, t, t_next)

    return step


def unipc() -> Stepper:
    """UniPC of order 2 with B2(h), one evaluation per step (Zhao et al. 2023).

    The predictor is dpmpp_2m; the corrector raises it to third order. A step is corrected at the start of the next one,
    with the velocity evaluated there at the predicted latents, under that step's guidance. So the corrector costs no
    evaluation, and the last step has none.
    """
    history: list[Estimate] = []  # of previous steps, newest first
    predicted_increment: Tensor | None = None  # of the previous step

    def step(evaluate: Evaluate, x: Tensor, t: float, t_next: float) -> Tensor:
        nonlocal predicted_increment
        current = t, x - t * evaluate(x, t)
        if predicted_increment is not None:
            x = x + (_corrected_increment(history, current) - predicted_increment)
        previous = history[0] if history else None
        predicted_increment = (1 - t_next / t) * _extrapolate_to_midpoint(current, previous, t_next)
        history.insert(0, current)
        del history[2:]
        return (t_next / t) * x + predicted_increment

    return step


def half_log_snr(t: float) -> float:
    """l = log((1 - t) / t), infinite at both ends."""
    if t in (0, 1):
        return math.inf if t == 0 else -math.inf
    return math.log((1 - t) / t)


def _extrapolate_to_midpoint(current: Estimate, previous: Estimate | None, t_next: float) -> Tensor:
    """x0 linearly extrapolated to the midpoint of the step in l."""
    t, x0 = current
    if previous is None or t_next == 0:
        return x0
    l_t = half_log_snr(t)
    return x0 + (half_log_snr(t_next) - l_t) / (2 * (l_t - half_log_snr(previous[0]))) * (x0 - previous[1])


def _corrected_increment(history: list[Estimate], current: Estimate) -> Tensor:
    """What the previous step should have added, given the estimate at its end."""
    (start, x0), t = history[0], current[0]
    if len(history) == 1:
        return ((1 - t / start) / 2) * (x0 + current[1])
    return _integral([history[0], current, history[1]], start, t)


def _integral(estimates: list[Estimate], t: float, t_next: float) -> Tensor:
    """(1 - t_next) * integral of exp(l - l_next) x0(l) dl over the step, x0(l) interpolating the estimates.

    The first estimate is the one at t.
    """
    l_t, h = half_log_snr(t), half_log_snr(t_next) - half_log_snr(t)
    if math.isinf(h):
        return (1 - t_next / t) * estimates[0][1]
    finite = [(half_log_snr(level) - l_t, x0) for level, x0 in estimates if level < 1]
    m0 = -math.expm1(-h)
    m1 = h - m0
    moments = [(1 - t_next) * m for m in (m0, m1, h * h - 2 * m1)]
    return combine(weights([s for s, _ in finite], moments[: len(finite)]), [x0 for _, x0 in finite])

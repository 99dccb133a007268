"""Solvers that follow the estimate of the clean latents over l = log((1 - t) / t), half the log signal-to-noise ratio.

In l the flow reads x_next = (t_next / t) x + (1 - t_next) * integral of exp(l - l_next) x0(l) dl. What remains to be
approximated is x0, which changes slowly: a constant x0 is solved exactly on any levels. Both ends of a run lie at
infinity, l(1) = -inf and l(0) = inf. There the limit is taken: a value at -inf carries no slope, and the step to 0
lands on x0 itself.

The orders hold between levels inside 0 .. 1. In a whole run, from 1 to 0, the steps near the ends stay long in l,
however many there are: with n steps the error falls as log(n) / n^2 (2M) and 1 / n^2 (3M, UniPC).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from .contract import Evaluate, Stepper
from .interpolation import combine, weights

Estimate = tuple[float, Tensor]  # t and the clean latents estimated there


def dpmpp_2m() -> Stepper:
    """DPM-Solver++(2M), second order, one evaluation per step (Lu et al. 2022b, algorithm 2)."""
    return dpmpp_2m_with(0.0, None)


def dpmpp_2m_with(eta: float, fresh: Callable[[Tensor], Tensor] | None) -> Stepper:
    """SDE-DPM-Solver++(2M); eta 0 is the deterministic one, 1 the reverse diffusion (Lu et al. 2022b, appendix).

    fresh: standard normal noise in the form of what it is given, asked for once per step that adds noise.
    """
    previous: Estimate | None = None

    def step(evaluate: Evaluate, x: Tensor, t: float, t_next: float) -> Tensor:
        nonlocal previous
        now = t, x - t * evaluate(x, t)
        middle = _middle(now, previous, t_next)
        previous = now
        decay = t_next * (1 - t) / (t * (1 - t_next))  # exp(l - l_next), 0 from t = 1 on and down to 0
        x = (t_next / t * decay**eta) * x + ((1 - t_next) * (1 - decay ** (1 + eta))) * middle
        spread = t_next * math.sqrt(1 - decay ** (2 * eta))
        return x + spread * fresh(x) if fresh is not None and spread > 0 else x

    return step


def dpmpp_3m() -> Stepper:
    """DPM-Solver++(3M), third order, one evaluation per step: x0 as a parabola through the last three estimates.

    The first two steps are of order 1 and 2; the second one first takes back the error of the first. The integral is
    exact, as in UniPC: the widespread form of this solver gives the curvature half its weight, which leaves it at
    second order.
    """
    past: list[Estimate] = []  # newest first

    def step(evaluate: Evaluate, x: Tensor, t: float, t_next: float) -> Tensor:
        now = t, x - t * evaluate(x, t)
        if len(past) == 1:
            x = x + (_corrected(past, now) - (1 - t / past[0][0]) * past[0][1])
        past.insert(0, now)
        del past[3:]
        return (t_next / t) * x + _integral(past, t, t_next)

    return step


def unipc() -> Stepper:
    """UniPC of order 2 with B2(h), one evaluation per step (Zhao et al. 2023).

    It predicts as dpmpp_2m does, and its corrector raises that to third order. A step's corrector is the first thing in
    the next step: it uses the velocity evaluated there, at the predicted latents, under that step's guidance. So it
    costs nothing, and the last step has none.
    """
    past: list[Estimate] = []  # of the steps before this one, newest first
    added: Tensor | None = None  # by the last step's prediction

    def step(evaluate: Evaluate, x: Tensor, t: float, t_next: float) -> Tensor:
        nonlocal added
        now = t, x - t * evaluate(x, t)
        if added is not None:
            x = x + (_corrected(past, now) - added)
        added = (1 - t_next / t) * _middle(now, past[0] if past else None, t_next)
        past.insert(0, now)
        del past[2:]
        return (t_next / t) * x + added

    return step


def half_log_snr(t: float) -> float:
    """l = log((1 - t) / t), infinite at both ends."""
    if t in (0, 1):
        return math.inf if t == 0 else -math.inf
    return math.log((1 - t) / t)


def _middle(now: Estimate, previous: Estimate | None, t_next: float) -> Tensor:
    """x0 carried on along a straight line to the middle of the step in l."""
    t, x0 = now
    if previous is None or t_next == 0:
        return x0
    here = half_log_snr(t)
    return x0 + (half_log_snr(t_next) - here) / (2 * (here - half_log_snr(previous[0]))) * (x0 - previous[1])


def _corrected(past: list[Estimate], now: Estimate) -> Tensor:
    """What the step before should have added, now that the estimate at its end is known."""
    (start, x0), t = past[0], now[0]
    if len(past) == 1:
        return ((1 - t / start) / 2) * (x0 + now[1])
    return _integral([past[0], now, past[1]], start, t)


def _integral(estimates: list[Estimate], t: float, t_next: float) -> Tensor:
    """(1 - t_next) * integral of exp(l - l_next) x0(l) dl over the step, of the polynomial through the estimates.

    The first estimate is the one at t.
    """
    here, h = half_log_snr(t), half_log_snr(t_next) - half_log_snr(t)
    if math.isinf(h):
        return (1 - t_next / t) * estimates[0][1]
    finite = [(half_log_snr(level) - here, x0) for level, x0 in estimates if level < 1]
    one = -math.expm1(-h)
    first = h - one
    moments = [(1 - t_next) * m for m in (one, first, h * h - 2 * first)]
    return combine(weights([s for s, _ in finite], moments[: len(finite)]), [x0 for _, x0 in finite])

"""DPM-Solver over ``-log sigma`` (Lu et al. 2022a): steps of order 1 to 3 on the noise ``(x - x0) / sigma``.

Both samplers end at the last level above 0, so noise of that level remains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import count

import torch
from torch import Tensor

from .contract import Run, exploding_descent, slope
from .fresh_noise import gaussian


def dpm_fast(run: Run, x: Tensor) -> Tensor:
    """As many evaluations as the levels have steps, spread evenly over ``-log sigma`` in steps of order 3."""
    if len(run.sigmas) < 2:
        return x
    start, end = _time_range(run.sigmas)
    thirds, rest = divmod(len(run.sigmas) - 1, 3)
    orders = [3] * thirds + [rest] if rest else [3] * (thirds - 1) + [2, 1]
    times = torch.linspace(float(start), float(end), thirds + 2)
    for i, order in enumerate(orders):
        step = _Step(run, x, times[i])
        run.report(i, step.x0, x)
        x = step.to(times[i + 1], order)
    return x


def _time_range(sigmas: Tensor) -> tuple[Tensor, Tensor]:
    lowest = sigmas[-1] if sigmas[-1] > 0 else sigmas[-2]
    return sigmas[0].log().neg(), lowest.log().neg()


class _Step:
    """The evaluations of a step from x at a time; orders that are tried one after another share them."""

    def __init__(self, run: Run, x: Tensor, time: Tensor) -> None:
        self.run, self.x, self.time = run, x, time
        self.x0 = run.estimate(x, sigma_at(time))
        self.noise = slope(x, self.x0, sigma_at(time))
        self._early_noise: dict[float, Tensor] = {}

    def to(self, end: Tensor, order: int, r: float | None = None) -> Tensor:
        """x at the end. r: the fraction of the first inner evaluation, 1/2 at order 2 and 1/3 at order 3 if None."""
        x, h, sigma = self.x - sigma_at(end) * (end - self.time).expm1() * self.noise, end - self.time, sigma_at(end)
        if order == 1:
            return x
        if order == 2:
            r = 1 / 2 if r is None else r
            return x - sigma / (2 * r) * h.expm1() * (self._noise_early(h, r) - self.noise)
        late = 2 / 3
        return x - sigma / late * (h.expm1() / h - 1) * (
            self._noise_late(h, 1 / 3 if r is None else r, late) - self.noise
        )

    def _noise_early(self, h: Tensor, r: float) -> Tensor:
        if r not in self._early_noise:
            sigma = sigma_at(self.time + r * h)
            x = self.x - sigma * (r * h).expm1() * self.noise
            self._early_noise[r] = slope(x, self.run.estimate(x, sigma), sigma)
        return self._early_noise[r]

    def _noise_late(self, h: Tensor, r: float, late: float) -> Tensor:
        sigma, part = sigma_at(self.time + late * h), late * h
        change = self._noise_early(h, r) - self.noise
        x = self.x - sigma * part.expm1() * self.noise - sigma * (late / r) * (part.expm1() / part - 1) * change
        return slope(x, self.run.estimate(x, sigma), sigma)


def sigma_at(time: Tensor) -> Tensor:
    """The level of a time ``-log sigma``."""
    return time.neg().exp()


@dataclass(frozen=True)
class _Tolerance:
    relative: float
    absolute: float

    def error(self, low: Tensor, high: Tensor, previous: Tensor) -> float:
        """The root mean square difference of two orders, in units of the tolerance."""
        relative = self.relative * torch.maximum(low.abs(), previous.abs())
        allowed = torch.maximum(torch.full_like(relative, self.absolute), relative)
        return float(torch.linalg.norm((low - high) / allowed) / low.numel() ** 0.5)


@dataclass
class _Controller:
    """A PID controller of the step length (Hairer et al. 1993; Söderlind 2003)."""

    h: float
    gains: tuple[float, float, float]
    accept_safety: float
    inverse_errors: list[float] = field(default_factory=list)  # newest first

    def accepts(self, error: float) -> bool:
        """Whether the step of this error stands; sets the length of the next try."""
        inverse = 1 / (error + 1e-8)
        errors = [inverse, *self.inverse_errors[1:]] if self.inverse_errors else [inverse] * 3
        factor = math.prod(value**gain for value, gain in zip(errors, self.gains, strict=True))
        factor = 1 + math.atan(factor - 1)
        is_accepted = factor >= self.accept_safety
        self.inverse_errors = [errors[0], errors[0], errors[1]] if is_accepted else errors
        self.h *= factor
        return is_accepted


def dpm_adaptive(
    run: Run,
    x: Tensor,
    order: int = 3,
    rtol: float = 0.05,
    atol: float = 0.0078,
    h_init: float = 0.05,
    pcoeff: float = 0.0,
    icoeff: float = 1.0,
    dcoeff: float = 0.0,
    accept_safety: float = 0.81,
    eta: float = 0.0,
    s_noise: float = 1.0,
) -> Tensor:
    """Steps as long as the error of two orders allows, whatever the levels between the first and the last.

    Raises ValueError for an order other than 2 and 3, and for settings with which it would never end.
    """
    _check(order, rtol, atol, h_init, accept_safety)
    if len(run.sigmas) < 2:
        return x
    noise = gaussian(x, run.seed)
    time, end = _time_range(run.sigmas)
    effective = 1.5 if eta else order
    gains = ((pcoeff + icoeff + dcoeff) / effective, -(pcoeff + 2 * dcoeff) / effective, dcoeff / effective)
    controller, tolerance = _Controller(h_init, gains, accept_safety), _Tolerance(rtol, atol)
    previous, tries = x, count()
    while time < end - 1e-5:
        target = torch.minimum(end, time + controller.h)
        step = _Step(run, x, time)
        reached, std = _below(time, target, end, eta)
        low, high = step.to(reached, order - 1, 1 / order), step.to(reached, order)
        if controller.accepts(tolerance.error(low, high, previous)):
            previous, time = low, target
            x = high + std * s_noise * noise() if eta else high
        run.report(next(tries), step.x0, x)
    return x


def _below(time: Tensor, target: Tensor, end: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """The time to step to, not beyond the end, and the standard deviation of the noise back to the target."""
    down, _ = exploding_descent(sigma_at(time), sigma_at(target), eta)
    reached = torch.minimum(end, down.log().neg()) if eta else target
    return reached, (sigma_at(target) ** 2 - sigma_at(reached) ** 2) ** 0.5


def _check(order: int, rtol: float, atol: float, h_init: float, accept_safety: float) -> None:
    problems = [] if order in (2, 3) else [f"order is {order}, allowed 2, 3"]
    if rtol <= 0 and atol <= 0:
        problems.append(f"rtol is {rtol} and atol is {atol}, one must be above 0")
    if h_init <= 0:
        problems.append(f"h_init is {h_init}, it must be above 0")
    if accept_safety >= 1 + math.pi / 2:
        problems.append(f"accept_safety is {accept_safety}, from 2.57 on no step is ever accepted: use 0.81")
    if problems:
        raise ValueError("dpm_adaptive: " + "; ".join(problems))

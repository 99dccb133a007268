"""What a sampler receives and the steps that several share.

A sampler takes x ``[b c t]`` along the levels of a run. ``eta`` is the share of fresh noise per step, ``s_noise`` its
scale. Levels are float32 scalars on the CPU, so that comparing them never waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..levels import FlowLevels


class Estimate(NamedTuple):
    """Clean estimates ``[b c t]``: the guided one, and the one without the condition where it was asked for."""

    x0: Tensor
    unconditional: Tensor | None


class Denoise(Protocol):
    """The guided model."""

    def __call__(self, x: Tensor, sigma: Tensor, *, with_unconditional: bool) -> Estimate:
        """The estimates of the clean latents, given x at level sigma (a scalar)."""
        ...


Report = Callable[[int, Tensor, Tensor], None]


@dataclass(frozen=True)
class Run:
    """One run of a sampler.

    sigmas: ``[n + 1]`` for n steps. levels: of the model. report: called at every step with its index, counted from 0,
    its clean estimate and x. with_unconditional: whether ``denoise`` is asked for the unconditional estimate.
    """

    denoise: Denoise
    sigmas: Tensor
    levels: FlowLevels
    seed: int
    report: Report
    with_unconditional: bool = False

    def steps(self, sigmas: Tensor | None = None) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Index, level and next level of every step, of other levels if they are given."""
        return ((i, a, b) for i, (a, b) in enumerate(pairwise(self.sigmas if sigmas is None else sigmas)))

    def begin(self, index: int, x: Tensor, sigma: Tensor) -> Tensor:
        """The clean estimate at the start of a step, which is reported."""
        return self.begin_both(index, x, sigma)[0]

    def begin_both(self, index: int, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """The guided and the unconditional estimate at the start of a step; the former is reported."""
        x0, unconditional = self.estimate_both(x, sigma)
        self.report(index, x0, x)
        return x0, unconditional

    def estimate(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The clean estimate within a step."""
        return self.denoise(x, sigma, with_unconditional=self.with_unconditional).x0

    def estimate_both(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """The guided and the unconditional estimate within a step.

        The unconditional one is 0 where the model gives none.
        """
        x0, unconditional = self.denoise(x, sigma, with_unconditional=self.with_unconditional)
        return x0, torch.zeros_like(x0) if unconditional is None else unconditional


def slope(x: Tensor, x0: Tensor, sigma: Tensor) -> Tensor:
    """dx/dsigma of the flow, given the clean estimate."""
    return (x - x0) / sigma


class Descent(NamedTuple):
    """A step to below its level, then renoised: ``x = scale x(sigma_down) + std noise``."""

    sigma_down: Tensor
    scale: Tensor
    std: Tensor


def flow_descent(sigma: Tensor, sigma_next: Tensor, eta: float) -> Descent:
    """Where the data scale with ``1 - sigma``."""
    sigma_down = sigma_next * (1 + (sigma_next / sigma - 1) * eta)
    scale = (1 - sigma_next) / (1 - sigma_down)
    variance = sigma_next**2 - sigma_down**2 * (1 - sigma_next) ** 2 / (1 - sigma_down) ** 2
    return Descent(sigma_down, scale, variance.clamp(min=0) ** 0.5)  # rounding may make it negative for a small eta


def exploding_descent(sigma: Tensor, sigma_next: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """The level to step down to and the standard deviation to add where the data are not scaled (k-diffusion)."""
    if not eta:
        return sigma_next, torch.zeros_like(sigma_next)
    # An infinite sigma makes the variance NaN; fmin then takes sigma_next, so that all noise is fresh.
    std = torch.fmin(sigma_next, eta * (sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2) ** 0.5)
    return (sigma_next**2 - std**2) ** 0.5, std

"""Deterministic multistep samplers on the slope: earlier steps' slopes raise the order at one evaluation per step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.integrate import quad
from torch import Tensor

from ...solvers.interpolation import combine
from .contract import Run, slope
from .deis import deis_weights

# Slope weights of a step, newest first, for the number of slopes known: step index, slope count.
StepWeights = Callable[[int, int], Sequence[float]]

_IPNDM_ORDER, _DEIS_ORDER = 4, 3
_ADAMS_BASHFORTH = {
    1: (1.0,),
    2: (3 / 2, -1 / 2),
    3: (23 / 12, -16 / 12, 5 / 12),
    4: (55 / 24, -59 / 24, 37 / 24, -9 / 24),
}


def lms(run: Run, x: Tensor, order: int = 4) -> Tensor:
    """Linear multistep: the integral of the polynomial through the last slopes (Katherine Crowson, k-diffusion)."""
    times = run.sigmas.numpy()

    def step_weights(i: int, count: int) -> list[float]:
        return [_basis_integral(times[i - count + 1 : i + 1][::-1], j, times[i], times[i + 1]) for j in range(count)]

    return _multistep(run, x, order, step_weights)


def _basis_integral(nodes: np.ndarray, j: int, start: float, end: float) -> float:
    """The integral of the Lagrange polynomial of node j, in float32 as in ComfyUI: from order 5 on rounding counts."""
    others = np.delete(nodes, j)

    def basis(time: float) -> float:
        return math.prod((time - other) / (nodes[j] - other) for other in others)

    return quad(basis, start, end, epsrel=1e-4)[0]


def ipndm(run: Run, x: Tensor) -> Tensor:
    """Improved pseudo linear multistep (Zhang and Chen 2023): Adams-Bashforth weights for even steps, on any levels."""
    times = [float(sigma) for sigma in run.sigmas]

    def step_weights(i: int, count: int) -> list[float]:
        return [(times[i + 1] - times[i]) * weight for weight in _ADAMS_BASHFORTH[count]]

    return _multistep(run, x, _IPNDM_ORDER, step_weights)


def ipndm_v(run: Run, x: Tensor) -> Tensor:
    """ipndm with weights for the steps' lengths (Zhou et al. 2024, diff-sampler)."""
    times = [float(sigma) for sigma in run.sigmas]

    def step_weights(i: int, count: int) -> list[float]:
        lengths = [times[i + 1 - k] - times[i - k] for k in range(count)]
        return [lengths[0] * weight for weight in _uneven_weights(lengths)]

    return _multistep(run, x, _IPNDM_ORDER, step_weights)


def deis(run: Run, x: Tensor) -> Tensor:
    """Exponential integrator in the time of a variance-preserving SDE (Zhang and Chen 2023, tAB-DEIS)."""
    table = deis_weights(run.sigmas, _DEIS_ORDER)
    return _multistep(run, x, _DEIS_ORDER, lambda i, count: table[i])


def _multistep(run: Run, x: Tensor, order: int, step_weights: StepWeights) -> Tensor:
    slopes: list[Tensor] = []  # newest first
    for i, sigma, sigma_next in run.steps():
        x0 = run.begin(i, x, sigma)
        slopes.insert(0, slope(x, x0, sigma))
        del slopes[order:]
        x = x0 if sigma_next == 0 else x + combine(step_weights(i, len(slopes)), slopes)
    return x


def _uneven_weights(lengths: Sequence[float]) -> list[float]:
    """Weights of the last slopes for a unit step, newest first, from the steps' lengths, newest first.

    Divided differences by length; the terms of order 3 and 4 are those of diff-sampler, not Adams-Bashforth's.
    """
    if len(lengths) == 1:
        return [1.0]
    h, h1 = lengths[:2]
    result = [1 + h / h1 / 2, -h / h1 / 2]
    if len(lengths) > 2:
        h2 = lengths[2]
        factor = (1 - h * h / (3 * h1 * (h1 + h2))) / 2
        result = [a + factor * b for a, b in zip([*result, 0.0], [1, -(1 + h1 / h2), h1 / h2], strict=True)]
    if len(lengths) > 3:
        factor, terms = _fourth_order_term(*lengths)
        result = [a + factor * b for a, b in zip([*result, 0.0], terms, strict=True)]
    return result


def _fourth_order_term(h: float, h1: float, h2: float, h3: float) -> tuple[float, list[float]]:
    two, three = h + h1, h + h1 + h2
    inner = (1 - h / (3 * two)) / 2 + (1 - h / (2 * two)) * h / (6 * three)
    factor = inner * (h * two * three) / (h1 * (h1 + h2) * (h1 + h2 + h3))
    ratio, scale = h1 / h2, h1 * (h1 + h2) / (h2 * (h2 + h3))
    return factor, [1.0, -(1 + ratio + scale), ratio + scale * (1 + h2 / h3), -scale * ratio]

"""UniPC of order 3 (Zhao et al. 2023), ComfyUI's form: levels taken as those of a variance-preserving process.

x is scaled by ``1 / sqrt(1 + sigma^2)`` meanwhile. A run to 0 ends at 0.001.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...solvers.interpolation import combine
from .contract import Run

LAST_LEVEL = 0.001
_ORDER = 3


class _Point(NamedTuple):
    """A level as data scale, noise scale and the log of their ratio, and the estimate there."""

    alpha: Tensor
    std: Tensor
    ratio: Tensor
    x0: Tensor


def uni_pc(run: Run, x: Tensor) -> Tensor:
    """With B1(h) = h."""
    return _uni_pc(run, x, use_bh2=False)


def uni_pc_bh2(run: Run, x: Tensor) -> Tensor:
    """With B2(h) = exp(h) - 1."""
    return _uni_pc(run, x, use_bh2=True)


def _uni_pc(run: Run, x: Tensor, use_bh2: bool) -> Tensor:
    """A run of one step evaluates and returns its noise, as in ComfyUI."""
    sigmas = run.sigmas
    if sigmas[-1] == 0:
        sigmas = torch.cat([sigmas[:-1], sigmas.new_tensor([LAST_LEVEL])])
    steps = len(sigmas) - 1
    order = min(_ORDER, steps - 1)
    x = x / torch.sqrt(1 + sigmas[0] ** 2)
    points: list[_Point] = []  # newest first
    if steps:
        points = [_evaluated(run, x, sigmas[0])]
        run.report(0, points[0].x0, x)
    for i in range(1, steps + 1 if order > 0 else 0):
        x, point = _step(run, x, points, sigmas[i], min(i, order, steps + 1 - i), use_bh2, has_corrector=i < steps)
        if point is not None:
            points = [point, *points][:order]
            run.report(i, point.x0, x)
    return x / _scales(sigmas[-1])[0]


def _step(
    run: Run, x: Tensor, points: list[_Point], sigma: Tensor, order: int, use_bh2: bool, has_corrector: bool
) -> tuple[Tensor, _Point | None]:
    """x at the level, corrected with the estimate at the predicted x, and that estimate; the last step has neither."""
    start, (alpha, std, ratio) = points[0], _scales(sigma)
    h = start.ratio - ratio
    distances = [(start.ratio - point.ratio) / h for point in points[1:order]]
    changes = [(point.x0 - start.x0) / r for point, r in zip(points[1:order], distances, strict=True)]
    system = _system(torch.stack([*distances, torch.ones(())]), h, use_bh2)
    scale = alpha * (torch.expm1(h) if use_bh2 else h)
    without_change = std / start.std * x - alpha * torch.expm1(h) * start.x0
    predicted = without_change
    if changes:
        predicted = predicted - scale * combine(_predictor_weights(*system).tolist(), changes)
    if not has_corrector:
        return predicted, None
    point = _evaluated(run, predicted, sigma)
    weights = torch.linalg.solve(*system) if order > 1 else torch.tensor([0.5])
    return without_change - scale * combine(weights.tolist(), [*changes, point.x0 - start.x0]), point


def _scales(sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Data scale, noise scale and the log of their ratio of a variance-preserving process with this noise to signal."""
    log_alpha = 0.5 * torch.log(1 / (sigma * sigma + 1))
    variance = 1 - torch.exp(2 * log_alpha)
    return torch.exp(log_alpha), torch.sqrt(variance), log_alpha - 0.5 * torch.log(variance)


def _evaluated(run: Run, x: Tensor, sigma: Tensor) -> _Point:
    alpha, std, ratio = _scales(sigma)
    unscaled = x * (sigma**2 + 1) ** 0.5
    noise = (unscaled - run.estimate(unscaled, sigma)) / sigma
    return _Point(alpha, std, ratio, (x - std * noise) / alpha)


def _system(distances: Tensor, h: Tensor, use_bh2: bool) -> tuple[Tensor, Tensor]:
    """The linear system of the corrector's weights: powers of the distances, and integrals over B(h)."""
    rows, integrals = [], []
    b = torch.expm1(h) if use_bh2 else h
    phi, factorial = torch.expm1(h) / h - 1, 1
    for power in range(len(distances)):
        rows.append(torch.pow(distances, power))
        integrals.append(phi * factorial / b)
        factorial *= power + 2
        phi = phi / h - 1 / factorial
    return torch.stack(rows), torch.stack(integrals)


def _predictor_weights(rows: Tensor, integrals: Tensor) -> Tensor:
    if len(integrals) == 2:
        return torch.tensor([0.5])  # the paper's choice, which also fits the corrector of order 1
    return torch.linalg.solve(rows[:-1, :-1], integrals[:-1])

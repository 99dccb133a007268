"""Extended reverse-time SDE (Cui et al. 2023, arXiv 2309.06169, VP ER-SDE-Solver-3)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..levels import half_log_snr
from .contract import Run
from .fresh_noise import gaussian

_POINTS = 200
_Scaler = Callable[[Tensor], Tensor]


def er_sde(
    run: Run, x: Tensor, s_noise: float = 1.0, max_stage: int = 3, solver_type: str = "ER-SDE", eta: float = 1.0
) -> Tensor:
    """solver_type: ER-SDE, Reverse-time SDE (of strength eta) or ODE; ValueError for another. max_stage: 1 .. 3."""
    scaler = _scaler(solver_type, eta)
    is_ode = solver_type == "ODE" or (solver_type == "Reverse-time SDE" and eta == 0)
    noise = gaussian(x, run.seed)
    sigmas = run.levels.below_one(run.sigmas)
    lambdas = half_log_snr(sigmas).neg().exp()  # noise to signal
    estimates: list[Tensor] = []  # newest first
    changes: list[Tensor] = []
    for i, sigma, sigma_next in run.steps(sigmas):
        estimates.insert(0, run.begin(i, x, sigma))
        if sigma_next == 0:
            return estimates[0]
        start, end = lambdas[i], lambdas[i + 1]
        alpha, alpha_end = sigma / start, sigma_next / end
        r = scaler(end) / scaler(start)
        x = alpha_end / alpha * r * x + alpha_end * (1 - r) * estimates[0]
        if min(max_stage, i + 1) >= 2:
            changes.insert(0, (estimates[0] - estimates[1]) / (start - lambdas[i - 1]))
            x = x + alpha_end * _change(scaler, lambdas[: i + 2], changes, min(max_stage, i + 1))
        if s_noise > 0 and not is_ode:
            std = (end**2 - start**2 * r**2).sqrt().nan_to_num(nan=0.0)
            x = x + alpha_end * noise() * s_noise * std
        del estimates[2:], changes[2:]
    return x


def _change(scaler: _Scaler, lambdas: Tensor, changes: list[Tensor], stage: int) -> Tensor:
    """What the estimate's change adds to the step that ends at the last of the lambdas, over alpha."""
    end, start = lambdas[-1], lambdas[-2]
    dt = end - start
    width = -dt / _POINTS
    points = end + torch.arange(_POINTS, dtype=torch.float32) * width
    scaled = scaler(points)
    total = (dt + torch.sum(1 / scaled) * width * scaler(end)) * changes[0]
    if stage >= 3:
        curvature = (changes[0] - changes[1]) / ((start - lambdas[-4]) / 2)
        integral = torch.sum((points - start) / scaled) * width
        total = total + (dt**2 / 2 + integral * scaler(end)) * curvature
    return total


def _scaler(solver_type: str, eta: float) -> _Scaler:
    if solver_type == "ER-SDE":
        return lambda x: x * ((x**0.3).exp() + 10)
    if solver_type in ("Reverse-time SDE", "ODE"):
        power = 1 if solver_type == "ODE" else eta + 1
        return lambda x: x**power
    raise ValueError(f"solver_type is {solver_type!r}, allowed ER-SDE, Reverse-time SDE, ODE")

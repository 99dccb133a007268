"""Flows with known solutions, and solvers' steps through them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from torch import Tensor

from acestep_xl.sampler.noise import draw
from acestep_xl.sampler.solver import SOLVERS, make_solver

DETERMINISTIC = [name for name, kind in SOLVERS.items() if not kind.stochastic]
# These integrate over the log signal-to-noise ratio, which is infinite at both ends of a run.
LOG_SNR = ["dpmpp_2m", "dpmpp_3m", "unipc"]
MEAN, SPREAD = 0.4, 0.6

Velocity = Callable[[Tensor, float], Tensor]


def steps(name: str, velocity: Velocity, x: Tensor, sigmas: list[float]) -> list[Tensor]:
    """x after every step."""
    stepper, results = make_solver(name, range(x.shape[0]), 1.0)(), []
    for t, t_next in pairwise(sigmas):
        x = stepper(velocity, x, t, t_next)
        results.append(x)
    return results


def start(seed: int = 3) -> Tensor:
    """Noise `[1 6 4]` to start from, in double precision."""
    return draw([seed], 6, 4).double()


@dataclass(frozen=True)
class Flow:
    """A velocity and its exact solution from one level to another."""

    velocity: Velocity
    exact: Callable[[Tensor, float, float], Tensor]


def growth(x: Tensor, t: float) -> Tensor:
    return (0.7 + 1.3 * t) * x


def growth_solution(x: Tensor, high: float, low: float) -> Tensor:
    return x * math.exp(0.7 * (low - high) + 0.65 * (low**2 - high**2))


def std_at(t: float) -> float:
    """Standard deviation at level t of a flow towards N(MEAN, SPREAD^2)."""
    return math.sqrt(t * t + (1 - t) ** 2 * SPREAD**2)


def gaussian(x: Tensor, t: float) -> Tensor:
    return (t - (1 - t) * SPREAD**2) / std_at(t) ** 2 * (x - (1 - t) * MEAN) - MEAN


def gaussian_solution(x: Tensor, high: float, low: float) -> Tensor:
    return (1 - low) * MEAN + std_at(low) / std_at(high) * (x - (1 - high) * MEAN)


def curved(x: Tensor, t: float) -> Tensor:
    return torch.sin(3 * x + 2 * t) + 0.5 * x * t


@lru_cache
def _by_scipy(values: tuple[float, ...], high: float, low: float) -> np.ndarray:
    def derivative(t: float, y: np.ndarray) -> np.ndarray:
        return curved(torch.from_numpy(y), t).numpy()

    return solve_ivp(derivative, (high, low), values, method="DOP853", rtol=3e-14, atol=1e-14).y[:, -1]


def by_scipy(x: Tensor, high: float, low: float) -> Tensor:
    """The solution of `curved` by a Runge-Kutta method of order 8."""
    return torch.from_numpy(_by_scipy(tuple(x.flatten().tolist()), high, low)).reshape(x.shape)


FLOWS = {
    "linear": Flow(growth, growth_solution),
    "gaussian": Flow(gaussian, gaussian_solution),
    "curved": Flow(curved, by_scipy),
}


def levels(max_inner: int = 40) -> st.SearchStrategy[list[float]]:
    """Decreasing levels with arbitrary spacing, from 1 or below down to 0."""
    inner = st.lists(st.integers(1, 999), min_size=0, max_size=max_inner, unique=True)
    return st.tuples(inner, st.sampled_from([1.0, 0.9995])).map(
        lambda pair: [pair[1], *(i / 1000 for i in sorted(pair[0], reverse=True)), 0.0]
    )


LEVELS = [0.97, 0.9, 0.66, 0.61, 0.3, 0.24, 0.05, 0.0]

"""Solvers by name: how a run integrates the velocity from one noise level to the next.

A solver makes one stepper per run; ``solvers/contract.py`` says what a stepper may rely on. All coefficients are Python
floats, so nothing synchronises with the device. Any decreasing levels work: one step, 300, evenly spaced or not.

Multistep solvers (ab, dpmpp, unipc) extrapolate across a jump of the velocity, where guidance starts or ends or a cover
stops following its source, for one or two steps.

STORK-4 (Tan et al. 2025) is left out: its inner stages evaluate a polynomial through earlier velocities, never the
network, so their sum is that polynomial's integral: Adams-Bashforth, with no gain in stability.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .solvers.adams import ab2, ab3
from .solvers.contract import Evaluate, Solver, Stepper
from .solvers.log_snr import dpmpp_2m, dpmpp_3m, unipc
from .solvers.runge_kutta import euler, heun, midpoint, rk4
from .solvers.stochastic import dpmpp_2m_sde, euler_ancestral, sde

__all__ = ["SOLVERS", "Evaluate", "Solver", "SolverKind", "Stepper", "euler", "get_solver", "make_solver"]


@dataclass(frozen=True)
class SolverKind:
    """An entry of the solver table.

    make: takes one seed per batch item and eta, which only stochastic solvers use. order: of convergence; of a
    stochastic solver at eta 0; of dpmpp and unipc between levels inside 0 .. 1, while a run from 1 to 0 has order 2.
    evaluations: of the network per step. source: paper or implementation.
    """

    make: Callable[[Sequence[int], float], Solver]
    order: int
    evaluations: int
    stochastic: bool
    source: str


def get_solver(name: str) -> Solver:
    """A deterministic solver by name."""
    kind = _get_kind(name)
    if kind.stochastic:
        raise ValueError(f"the solver {name} draws noise: use make_solver, with one seed per item")
    return kind.make((), 0.0)


def make_solver(name: str, seeds: Sequence[int], eta: float) -> Solver:
    """Any solver by name. A stochastic one draws the noise of item i from ``seeds[i]`` and replaces the fraction eta of
    it per step, 0 .. 1; deterministic solvers ignore both."""
    return _get_kind(name).make(seeds, eta)


def _get_kind(name: str) -> SolverKind:
    if name not in SOLVERS:
        raise ValueError(f"unknown solver {name!r}; known: {', '.join(SOLVERS)}")
    return SOLVERS[name]


def _deterministic(solver: Solver, order: int, evaluations: int, source: str) -> SolverKind:
    return SolverKind(lambda seeds, eta: solver, order, evaluations, False, source)


SOLVERS: dict[str, SolverKind] = {
    "euler": _deterministic(euler, 1, 1, "official inference, mode ode"),
    "heun": _deterministic(heun, 2, 2, "Heun 1900; official inference, sampler mode heun"),
    "midpoint": _deterministic(midpoint, 2, 2, "Runge 1895"),
    "rk4": _deterministic(rk4, 4, 4, "Kutta 1901"),
    "ab2": _deterministic(ab2, 2, 1, "Bashforth and Adams 1883"),
    "ab3": _deterministic(ab3, 3, 1, "Bashforth and Adams 1883"),
    "dpmpp_2m": _deterministic(dpmpp_2m, 2, 1, "Lu et al. 2022, DPM-Solver++"),
    "dpmpp_3m": _deterministic(dpmpp_3m, 3, 1, "Lu et al. 2022, DPM-Solver++"),
    "unipc": _deterministic(unipc, 3, 1, "Zhao et al. 2023, UniPC"),
    "euler_ancestral": SolverKind(euler_ancestral, 1, 1, True, "k-diffusion, in the form for rectified flows"),
    "sde": SolverKind(sde, 1, 1, True, "official inference, mode sde, on the real schedule"),
    "dpmpp_2m_sde": SolverKind(dpmpp_2m_sde, 2, 1, True, "Lu et al. 2022, SDE-DPM-Solver++"),
}

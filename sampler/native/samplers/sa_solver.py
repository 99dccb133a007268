"""SA-Solver: stochastic Adams predictor and corrector over the log signal-to-noise ratio (Xue et al. 2023)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ...solvers.interpolation import combine
from ..levels import half_log_snr
from .contract import Run
from .fresh_noise import gaussian


@dataclass
class _State:
    """What the corrector of a step needs of the predictor of the step before it."""

    x: Tensor
    tau: float = 0.0
    h: Tensor | float = 0.0
    noise: Tensor | float = 0.0
    estimates: list[Tensor] = field(default_factory=list)  # oldest first


@dataclass(frozen=True)
class _Orders:
    predictor: int
    corrector: int
    use_pece: bool
    simple_order_2: bool

    def of_step(self, i: int, known: int, sigmas: Tensor) -> tuple[int, int]:
        """The orders of predictor and corrector (0: none) at step i, lower at both ends of a run to 0."""
        has_corrector = i > 0 and (sigmas[i + 1] > 0 or self.use_pece)
        predictor, corrector = min(self.predictor, known), min(self.corrector, known) if has_corrector else 0
        if sigmas[-1] == 0:
            left = len(sigmas) - 1 - i
            predictor, corrector = min(predictor, left - 1), min(corrector, left)
        return predictor, corrector


def sa_solver(
    run: Run,
    x: Tensor,
    eta: float = 1.0,
    s_noise: float = 1.0,
    predictor_order: int = 3,
    corrector_order: int = 4,
    use_pece: bool = False,
    simple_order_2: bool = False,
    sde_start_percent: float = 0.2,
    sde_end_percent: float = 0.8,
) -> Tensor:
    """Between the two fractions of the run the strength of the noise is eta, elsewhere 0.

    use_pece: evaluate again at the corrected x. simple_order_2: the weights of the paper's appendix D at order 2.
    """
    if len(run.sigmas) < 2:
        return x
    noise = gaussian(x, run.seed)
    highest, lowest = run.levels.percent_to_sigma(sde_start_percent), run.levels.percent_to_sigma(sde_end_percent)
    orders = _Orders(predictor_order, corrector_order, use_pece, simple_order_2)
    sigmas = run.levels.below_one(run.sigmas)
    lambdas = half_log_snr(sigmas)
    state = _State(x)
    for i, sigma, sigma_next in run.steps(sigmas):
        x0 = run.begin(i, x, sigma)
        state.estimates = [*state.estimates, x0][-max(predictor_order, corrector_order) :]
        predictor, corrector = orders.of_step(i, len(state.estimates), sigmas)
        state.x = _correct(state, x, i, corrector, sigmas, lambdas, simple_order_2, s_noise) if corrector else x
        if corrector and use_pece:
            x0 = run.estimate(state.x, sigma)
            state.estimates[-1] = x0
        if sigma_next == 0:
            return x0
        state.tau = eta if highest >= sigma_next.item() >= lowest else 0.0
        x = _predict(state, i, predictor, sigmas, lambdas, simple_order_2, noise, s_noise)
    return x


def _correct(
    state: _State, x: Tensor, i: int, order: int, sigmas: Tensor, lambdas: Tensor, simple: bool, s_noise: float
) -> Tensor:
    """The state at step i from the one before it, with the estimate at step i."""
    weights = _weights(sigmas[i], lambdas, i, (lambdas[i - 1], lambdas[i]), order, state.tau)
    if simple and order == 2:
        weights = _simple_weights(sigmas[i], lambdas[i - 1], lambdas[i], state.tau, None)
    damping = torch.as_tensor(-(state.tau**2) * state.h).exp()
    x = sigmas[i] / sigmas[i - 1] * damping * state.x + combine(weights.tolist(), state.estimates[-order:])
    return x + state.noise if state.tau > 0 and s_noise > 0 else x


def _predict(
    state: _State,
    i: int,
    order: int,
    sigmas: Tensor,
    lambdas: Tensor,
    simple: bool,
    noise: Callable[[], Tensor],
    s_noise: float,
) -> Tensor:
    """The state at step i + 1."""
    tau, sigma, sigma_next = state.tau, sigmas[i], sigmas[i + 1]
    weights = _weights(sigma_next, lambdas, i, (lambdas[i], lambdas[i + 1]), order, tau)
    if simple and order == 2:
        weights = _simple_weights(sigma_next, lambdas[i], lambdas[i + 1], tau, lambdas[i - 1])
    state.h = lambdas[i + 1] - lambdas[i]
    x = sigma_next / sigma * (-(tau**2) * state.h).exp() * state.x + combine(weights.tolist(), state.estimates[-order:])
    if tau > 0 and s_noise > 0:
        std = sigma_next * (-2 * tau**2 * state.h).expm1().neg().sqrt() * s_noise
        state.noise = noise() * std
        x = x + state.noise
    return x


def _weights(
    sigma_end: Tensor, lambdas: Tensor, i: int, interval: tuple[Tensor, Tensor], order: int, tau: float
) -> Tensor:
    """Weights of the last ``order`` estimates up to step i, oldest first (equations 15 and 18)."""
    nodes = lambdas[i - order + 1 : i + 1]
    powers = torch.vander(nodes, order, increasing=True).T
    moments = _moments(interval[0], interval[1], order, tau)
    return sigma_end * interval[1].exp() * torch.linalg.solve(powers, moments)


def _moments(start: Tensor, end: Tensor, count: int, tau: float) -> Tensor:
    """``m integral exp(m (x - end)) x^p dx`` for p = 0 .. count - 1, with m = 1 + tau^2, by repeated parts."""
    m = 1 + tau**2
    p = torch.arange(count, dtype=start.dtype)
    boundary = end**p - start**p * (-m * (end - start)).exp()
    depth = p.unsqueeze(1) - p.unsqueeze(0)
    log_factorial = (p + 1).lgamma()
    log_factors = log_factorial.unsqueeze(1) - log_factorial.unsqueeze(0) - depth * math.log(m)
    signs = torch.where(depth % 2 == 0, 1.0, -1.0)
    return (log_factors.exp() * signs).tril() @ boundary


def _simple_weights(sigma_end: Tensor, start: Tensor, end: Tensor, tau: float, earlier: Tensor | None) -> Tensor:
    """Order 2, oldest first. earlier: the node before the start, for the predictor."""
    m, h = 1 + tau**2, end - start
    alpha = sigma_end * end.exp()
    total = alpha * (-h * m).expm1().neg()
    if earlier is None:
        newest = alpha * (0.5 * m * h)
        return torch.stack([total - newest, newest])
    oldest = alpha * (0.5 * m * h**2) / (earlier - start)
    return torch.stack([oldest, total - oldest])

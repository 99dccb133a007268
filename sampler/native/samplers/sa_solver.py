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


def sa_solver(
    run: Run,
    x: Tensor,
    eta: float = 1.0,
    s_noise: float = 1.0,
    predictor_order: int = 3,
    corrector_order: int = 4,
    use_pece: bool = False,
    simple_order_2: bool = False,
    sde_start_sigma: float | None = None,
    sde_end_sigma: float | None = None,
) -> Tensor:
    """Between the two levels the strength of the noise is eta, elsewhere 0; None: after 20 and 80 % of the time.

    use_pece: evaluate again at the corrected x. simple_order_2: the weights of the paper's appendix D at order 2.
    """
    if len(run.sigmas) < 2:
        return x
    highest = run.levels.percent_to_sigma(0.2) if sde_start_sigma is None else sde_start_sigma
    lowest = run.levels.percent_to_sigma(0.8) if sde_end_sigma is None else sde_end_sigma
    sigmas = run.levels.below_one(run.sigmas)
    adams = _Adams(sigmas, half_log_snr(sigmas), simple_order_2, s_noise, gaussian(x, run.seed), x)
    for i, sigma, sigma_next in run.steps(sigmas):
        x0 = run.begin(i, x, sigma)
        adams.estimates = [*adams.estimates, x0][-max(predictor_order, corrector_order) :]
        known, left = len(adams.estimates), len(sigmas) - 1 - i
        if sigmas[-1] > 0:
            left = known + 1  # only a run to 0 lowers its order at the end
        has_corrector = corrector_order > 0 and i > 0 and (sigma_next > 0 or use_pece)
        adams.x = adams.correct(i, min(corrector_order, known, left)) if has_corrector else x
        if has_corrector and use_pece:
            x0 = run.estimate(adams.x, sigma)
            adams.estimates[-1] = x0
        if sigma_next == 0:
            return x0
        adams.tau = eta if highest >= sigma_next.item() >= lowest else 0.0
        x = adams.predict(i, min(predictor_order, known, left - 1))
    return x


@dataclass
class _Adams:
    """The state x at a step, with what the corrector needs of the predictor that led there."""

    sigmas: Tensor
    lambdas: Tensor
    simple_order_2: bool
    s_noise: float
    fresh: Callable[[], Tensor]
    x: Tensor
    tau: float = 0.0
    noise: Tensor | float = 0.0
    estimates: list[Tensor] = field(default_factory=list)  # oldest first

    def correct(self, i: int, order: int) -> Tensor:
        """The state at step i from the one before it, with the estimate at step i."""
        x = self._advanced(i - 1, i, order)
        return x + self.noise if self.tau > 0 and self.s_noise > 0 else x

    def predict(self, i: int, order: int) -> Tensor:
        """The state at step i + 1."""
        x = self._advanced(i, i, order)
        if self.tau > 0 and self.s_noise > 0:
            h = self.lambdas[i + 1] - self.lambdas[i]
            std = self.sigmas[i + 1] * (-2 * self.tau**2 * h).expm1().neg().sqrt() * self.s_noise
            self.noise = self.fresh() * std
            x = x + self.noise
        return x

    def _advanced(self, start: int, newest: int, order: int) -> Tensor:
        """The state a step after the start, without noise, from ``order`` estimates up to the newest."""
        interval = self.lambdas[start], self.lambdas[start + 1]
        alpha = self.sigmas[start + 1] * interval[1].exp()
        nodes = self.lambdas[newest - order + 1 : newest + 1]
        if self.simple_order_2 and order == 2:
            weights = _simple_weights(interval, None if newest > start else nodes[0], self.tau, alpha)
        else:
            powers = torch.vander(nodes, order, increasing=True).T
            weights = alpha * torch.linalg.solve(powers, _moments(*interval, order, self.tau))
        damping = (-(self.tau**2) * (interval[1] - interval[0])).exp()
        x = self.sigmas[start + 1] / self.sigmas[start] * damping * self.x
        return x + combine(weights.tolist(), self.estimates[-order:])


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


def _simple_weights(interval: tuple[Tensor, Tensor], earlier: Tensor | None, tau: float, alpha: Tensor) -> Tensor:
    """Order 2, oldest first. earlier: the node before the start, for the predictor."""
    m, h = 1 + tau**2, interval[1] - interval[0]
    total = alpha * (-h * m).expm1().neg()
    if earlier is None:
        newest = alpha * (0.5 * m * h)
        return torch.stack([total - newest, newest])
    oldest = alpha * (0.5 * m * h**2) / (earlier - interval[0])
    return torch.stack([oldest, total - oldest])

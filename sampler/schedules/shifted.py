"""Schedules with the timestep shift of flow-matching models: linear, SGM uniform and beta."""

from __future__ import annotations

from scipy.special import betaincinv

from .checks import distinct, require, require_terminal


def linear(steps: int, *, shift: float, start: float) -> list[float]:
    """Evenly spaced times u, shifted: ``t = s u / (1 + (s - 1) u)``.

    The timestep shift of flow-matching models (Esser et al. 2024, section 5.3.2) as in the official inference; 8 steps
    from 1 give exactly the tables of the turbo checkpoints. Computed in float64, while the official code rounds to the
    network's dtype. From a lower start the levels are the tail of the same schedule with more steps.
    """
    require(steps, start, {"shift": shift})
    first = _unshifted(start, shift)
    return [start, *(_shifted(first * (steps - i) / steps, shift) for i in range(1, steps)), 0.0]


def sgm_uniform(steps: int, *, shift: float, terminal: float, start: float) -> list[float]:
    """Evenly spaced times from the start to ``terminal``, the last one replaced by 0, then shifted as in linear.

    The spacing of Stability AI's generative-models. terminal is a time before the shift, as in ComfyUI, which uses the
    lowest level of its table there (0.003 at shift 3).
    """
    require(steps, start, {"shift": shift})
    first = _unshifted(start, shift)
    require_terminal(terminal, first, "start before the shift")
    times = (first + (terminal - first) * i / steps for i in range(1, steps))
    return [start, *(_shifted(u, shift) for u in times), 0.0]


def beta(steps: int, *, alpha: float, beta: float, shift: float, start: float) -> list[float]:
    """Times at evenly spaced quantiles of the beta distribution, ``u_i = F^-1(1 - i / steps)``, shifted as in linear.

    Beta sampling (Lee et al. 2024, arXiv 2407.12173; alpha = beta = 0.6 there). alpha = beta = 1 is linear; values
    below 1 concentrate levels, of beta at the noisy end, of alpha at the clean end. u is continuous here; ComfyUI
    rounds it to a table of 1000 levels, up to 0.0015 away, and drops repeated levels. Quantiles that coincide at the
    noisy end are kept one float32 step apart.
    """
    require(steps, start, {"alpha": alpha, "beta": beta, "shift": shift})
    first = _unshifted(start, shift)
    times = (first * beta_quantile((steps - i) / steps, alpha, beta) for i in range(1, steps))
    return [*distinct(start, (_shifted(u, shift) for u in times)), 0.0]


def _shifted(u: float, shift: float) -> float:
    # 1 - u + s u rather than 1 + (s - 1) u: at u = 1 it is exactly s, so level 1 stays 1 without rounding.
    return shift * u / (1 - u + shift * u)


def _unshifted(t: float, shift: float) -> float:
    return _shifted(t, 1 / shift)


def beta_quantile(p: float, alpha: float, beta: float) -> float:
    """The p-quantile of the beta distribution."""
    if p > 0.5:  # computed from the other end, where 1 - p and 1 - x are small and keep their precision
        return 1 - float(betaincinv(beta, alpha, 1 - p))
    return float(betaincinv(alpha, beta, p))

"""Solvers that replace part of the noise with fresh noise at every step.

Fresh noise lets later steps correct earlier errors, and erases part of the initial noise: the same song needs the same
seeds and the same levels. It is drawn on the CPU, per batch item from its own seed, so an item does not depend on its
batch, on threads or on the device. The step to t = 0 adds none.

eta is the fraction of fresh noise, 0 (none: the deterministic counterpart) to 1. x is ``[b t c]``, or a tensor of any
other rank with items along its first axis.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from itertools import count

from torch import Tensor

from ..noise import draw
from .contract import Evaluate, Solver, Stepper
from .log_snr import dpmpp_2m_with


def euler_ancestral(seeds: Sequence[int], eta: float) -> Solver:
    """Euler to a level below the next, then renoised up to it; first order (k-diffusion's ancestral sampling).

    On the flow's path the data scale with (1 - t), so renoising from t_down to t_next scales x by
    (1 - t_next) / (1 - t_down) and adds noise up to the standard deviation t_next.
    """
    _check(eta)

    def start() -> Stepper:
        fresh = fresh_noise(seeds)

        def step(evaluate: Evaluate, x: Tensor, t: float, t_next: float) -> Tensor:
            t_down = t_next * (1 - eta * (1 - t_next / t))
            scale = (1 - t_next) / (1 - t_down)
            remaining_std = scale * t_down
            x = scale * (x - evaluate(x, t) * (t - t_down))
            # Factored, so that rounding cannot make it negative.
            fresh_std = math.sqrt((t_next - remaining_std) * (t_next + remaining_std))
            return x + fresh_std * fresh(x) if fresh_std > 0 else x

        return step

    return start


def sde(seeds: Sequence[int], eta: float) -> Solver:
    """The clean estimate renoised to the next level; at eta 1 the official ``sde``, on the schedule's own levels.

    The official inference renoises to an unshifted level, whatever the schedule, and without a seed. At any eta above 0
    the fraction of fresh noise is the same for short and long steps, so more steps do not converge to the model's
    distribution: at eta 1 Gaussian data lose half their variance. It suits few steps; euler_ancestral and dpmpp_2m_sde
    preserve the variance.
    """
    _check(eta)

    def start() -> Stepper:
        fresh = fresh_noise(seeds)

        def step(evaluate: Evaluate, x: Tensor, t: float, t_next: float) -> Tensor:
            velocity = evaluate(x, t)
            x0, noise = x - t * velocity, x + (1 - t) * velocity
            if t_next > 0 and eta > 0:
                noise = math.sqrt(1 - eta**2) * noise + eta * fresh(x)
            return (1 - t_next) * x0 + t_next * noise

        return step

    return start


def dpmpp_2m_sde(seeds: Sequence[int], eta: float) -> Solver:
    """SDE-DPM-Solver++(2M), second order in its deterministic part (Lu et al. 2022b).

    With eta above 0 a step from t = 1 replaces all noise: the step is infinitely long in l, so nothing of the initial
    noise survives.
    """
    _check(eta)
    return lambda: dpmpp_2m_with(eta, fresh_noise(seeds))


def fresh_noise(seeds: Sequence[int]) -> Callable[[Tensor], Tensor]:
    """A source of standard normal noise for one run: called with x, it returns noise like x.

    Item i of the k-th call depends on ``seeds[i]``, k and the shape of an item only. Raises ValueError unless x has one
    item per seed.
    """
    calls = count()

    def fresh(x: Tensor) -> Tensor:
        if len(seeds) != x.shape[0]:
            raise ValueError(f"{len(seeds)} seeds for {x.shape[0]} items: a stochastic solver needs one per item")
        step = next(calls)
        noise = draw([_derive_seed(seed, step) for seed in seeds], x.shape[1], x[0, 0].numel()).reshape(x.shape)
        if x.device.type == "cuda":  # from pinned memory, or the copy would synchronise with the device
            return noise.pin_memory().to(x.device, non_blocking=True).to(x.dtype)
        return noise.to(x)

    return fresh


def _derive_seed(seed: int, step: int) -> int:
    """A seed for one step, unrelated to other steps' and to any run's initial noise."""
    digest = hashlib.blake2b(f"{seed} step {step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _check(eta: float) -> None:
    if not 0 <= eta <= 1:
        raise ValueError(f"eta is {eta}, allowed 0 (no fresh noise) to 1 (all noise is fresh)")

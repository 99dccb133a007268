"""Solvers that replace part of the noise at every step by fresh noise.

Fresh noise lets later steps repair what earlier ones got wrong, and wipes out a part of the start noise: the same song
needs the same seeds and the same levels. The noise is drawn on the CPU, per batch item from its own seed, so an item
does not depend on its neighbours, on threads or on the device. The step to t = 0 adds none.

eta is the share of fresh noise, 0 (none: the deterministic counterpart) to 1. x is ``[b t c]``; a tensor of any other
rank works too, with items along its first axis.
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
    """Euler to a level below the next, then noised up to it; first order (ancestral sampling of k-diffusion).

    On the flow's path data shrink with t as (1 - t), so noising up from t_down to t_next scales x by
    (1 - t_next) / (1 - t_down), and adds what then lacks to a noise of length t_next.
    """
    _check(eta)

    def start() -> Stepper:
        fresh = fresh_noise(seeds)

        def step(evaluate: Evaluate, x: Tensor, t: float, t_next: float) -> Tensor:
            t_down = t_next * (1 - eta * (1 - t_next / t))
            scale = (1 - t_next) / (1 - t_down)
            kept = scale * t_down
            x = scale * (x - evaluate(x, t) * (t - t_down))
            # As a product it cannot fall below 0 by rounding.
            spread = math.sqrt((t_next - kept) * (t_next + kept))
            return x + spread * fresh(x) if spread > 0 else x

        return step

    return start


def sde(seeds: Sequence[int], eta: float) -> Solver:
    """The estimate of the clean latents, noised anew to the next level; at eta 1 the official ``sde`` on real levels.

    Official inference noises to an unshifted level, whatever the schedule, and without a seed. At every eta above 0
    the share of fresh noise is the same for short and long steps, so many steps do not approach the model's
    distribution: of Gaussian data half the variance is left at eta 1. It suits few steps; euler_ancestral and
    dpmpp_2m_sde keep the variance.
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

    A step from t = 1 replaces all noise as soon as eta is above 0: on the way from an infinite noise ratio nothing of
    the start noise survives.
    """
    _check(eta)
    return lambda: dpmpp_2m_with(eta, fresh_noise(seeds))


def fresh_noise(seeds: Sequence[int]) -> Callable[[Tensor], Tensor]:
    """Standard normal noise for one run's steps: called with x, it returns noise in the form of x and on its device.

    Item i of the k-th call depends on ``seeds[i]``, k and the shape of an item only. Raises ValueError when x holds
    another number of items.
    """
    steps = count()

    def fresh(x: Tensor) -> Tensor:
        if len(seeds) != x.shape[0]:
            raise ValueError(f"{len(seeds)} seeds for {x.shape[0]} items: a stochastic solver needs one per item")
        number = next(steps)
        per_item = draw([_derived(seed, number) for seed in seeds], x.shape[1], x[0, 0].numel()).reshape(x.shape)
        if x.device.type == "cuda":  # from pinned memory, or the copy would wait for all work on the device
            return per_item.pin_memory().to(x.device, non_blocking=True).to(x.dtype)
        return per_item.to(x)

    return fresh


def _derived(seed: int, step: int) -> int:
    """A seed for one step, unrelated to the start noise of any seed and to other steps'."""
    digest = hashlib.blake2b(f"{seed} step {step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _check(eta: float) -> None:
    if not 0 <= eta <= 1:
        raise ValueError(f"eta is {eta}, allowed are 0 (no fresh noise) to 1 (as much as there can be)")

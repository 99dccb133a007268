"""The schedulers of KSampler and BasicScheduler: noise levels of a model by name.

Float32 levels from noise to 0, usually ``[steps + 1]``; ddim_uniform and beta may give another number.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import scipy.stats
import torch
from torch import Tensor

from ..schedules.linear_quadratic import linear_quadratic as linear_quadratic_levels
from .curves import ending_at_zero, exponential, karras, kl_optimal
from .levels import TABLE_SIZE, FlowLevels

Scheduler = Callable[[FlowLevels, int], Tensor]

# A lowest level this close to 0 counts as the end of the run.
_ZERO = 1e-5
_LINEAR_QUADRATIC_THRESHOLD = 0.025
_FULL_DENOISE = 0.9999
# These evaluate between levels, and would evaluate next to 0: they get one step more and lose the level before it.
WITHOUT_PENULTIMATE = frozenset({"dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2"})


def simple(levels: FlowLevels, steps: int) -> Tensor:
    """Every ``1000 / steps``-th level of the table, from its end."""
    indices = [TABLE_SIZE - 1 - int(i * (TABLE_SIZE / steps)) for i in range(steps)]
    return ending_at_zero(levels.table()[indices])


def normal(levels: FlowLevels, steps: int) -> Tensor:
    """Timesteps from the highest to the lowest level evenly spaced, then 0; as in ComfyUI they are shifted again."""
    table = levels.table()
    first, last = table[-1], table[0]
    if math.isclose(float(levels.sigma(last)), 0, abs_tol=_ZERO):
        return levels.sigma(_spread(first, last, steps + 1))
    return ending_at_zero(levels.sigma(_spread(first, last, steps)))


def sgm_uniform(levels: FlowLevels, steps: int) -> Tensor:
    """As normal with one step more, whose last level is replaced by 0."""
    table = levels.table()
    return ending_at_zero(levels.sigma(_spread(table[-1], table[0], steps + 1)[:-1]))


def ddim_uniform(levels: FlowLevels, steps: int) -> Tensor:
    """Every ``1000 // steps``-th level of the table, counted from its second: often not ``steps`` of them."""
    table = levels.table()
    ends_at_zero = math.isclose(float(table[1]), 0, abs_tol=_ZERO)
    stride = max(TABLE_SIZE // (steps + 1 if ends_at_zero else steps), 1)
    picked = table[1::stride].flip(0)
    return picked if ends_at_zero else ending_at_zero(picked)


def beta(levels: FlowLevels, steps: int) -> Tensor:
    """Beta sampling with the paper's parameters (Lee et al. 2024, arXiv 2407.12173)."""
    return beta_sampling(levels, steps, alpha=0.6, beta=0.6)


def beta_sampling(levels: FlowLevels, steps: int, alpha: float, beta: float) -> Tensor:
    """Table levels at evenly spaced quantiles of a beta distribution, repeated levels dropped (BetaSamplingScheduler).

    Raises ValueError unless alpha and beta are above 0.
    """
    if alpha <= 0 or beta <= 0:
        raise ValueError(f"beta scheduler: alpha is {alpha} and beta is {beta}, both must be above 0")
    quantiles = scipy.stats.beta.ppf(1 - np.linspace(0, 1, steps, endpoint=False), alpha, beta)
    indices = np.rint(quantiles * (TABLE_SIZE - 1)).astype(int)
    is_new = np.diff(indices, prepend=-1) != 0
    return ending_at_zero(levels.table()[torch.from_numpy(indices[is_new])])


def linear_quadratic(levels: FlowLevels, steps: int) -> Tensor:
    """The linear-quadratic schedule of Movie Gen (Polyak et al. 2024) with Mochi's threshold, scaled to the table."""
    levels_from_one = linear_quadratic_levels(steps, threshold=_LINEAR_QUADRATIC_THRESHOLD, start=1.0)
    return torch.tensor(levels_from_one) * levels.table()[-1]


def sd_turbo(levels: FlowLevels, steps: int, denoise: float) -> Tensor:
    """Tenths of the timesteps from the fraction ``denoise`` on (SDTurboScheduler).

    Its timesteps are those of a model that counts them to 1000, also for one that counts to 1, as in ComfyUI.
    """
    first = 10 - int(10 * denoise)
    timesteps = torch.arange(999.0, -1.0, -100.0)[first : first + steps]
    return ending_at_zero(levels.sigma(timesteps))


def _between_ends(curve: Callable[[int, float, float], Tensor]) -> Scheduler:
    def scheduler(levels: FlowLevels, steps: int) -> Tensor:
        table = levels.table()
        return curve(steps, float(table[0]), float(table[-1]))

    return scheduler


def _spread(first: Tensor, last: Tensor, count: int) -> Tensor:
    return torch.linspace(float(first), float(last), count)


def calculate_sigmas(levels: FlowLevels, scheduler: str, steps: int) -> Tensor:
    """The levels of the named scheduler. Raises ValueError for an unknown name and for steps below 1."""
    formula = get_scheduler(scheduler)
    if steps < 1:
        raise ValueError(f"steps is {steps}, it must be at least 1")
    return formula(levels, steps)


def basic_scheduler(levels: FlowLevels, scheduler: str, steps: int, denoise: float) -> Tensor:
    """BasicScheduler: the last ``steps + 1`` levels of ``int(steps / denoise)`` steps; none for denoise 0 or below."""
    if denoise <= 0:
        return torch.zeros(0)
    total = int(steps / denoise) if denoise < 1 else steps
    return calculate_sigmas(levels, scheduler, total)[-(steps + 1) :]


def ksampler_sigmas(levels: FlowLevels, scheduler: str, sampler: str, steps: int, denoise: float) -> Tensor:
    """KSampler's levels: as BasicScheduler, but some samplers drop the level before the last.

    From 0.9999 on denoise is 1.
    """
    if denoise <= 0:
        return torch.zeros(0)
    is_full = denoise > _FULL_DENOISE
    total = steps if is_full else int(steps / denoise)
    if sampler in WITHOUT_PENULTIMATE:
        sigmas = calculate_sigmas(levels, scheduler, total + 1)
        sigmas = torch.cat([sigmas[:-2], sigmas[-1:]])
    else:
        sigmas = calculate_sigmas(levels, scheduler, total)
    return sigmas if is_full else sigmas[-(steps + 1) :]


SCHEDULERS: dict[str, Scheduler] = {
    "simple": simple,
    "sgm_uniform": sgm_uniform,
    "karras": _between_ends(karras),
    "exponential": _between_ends(exponential),
    "ddim_uniform": ddim_uniform,
    "beta": beta,
    "normal": normal,
    "linear_quadratic": linear_quadratic,
    "kl_optimal": _between_ends(kl_optimal),
}


def get_scheduler(name: str) -> Scheduler:
    """A scheduler by ComfyUI's name."""
    if name not in SCHEDULERS:
        raise ValueError(f"unknown scheduler {name!r}; known: {', '.join(SCHEDULERS)}")
    return SCHEDULERS[name]

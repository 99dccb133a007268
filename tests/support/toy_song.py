"""A small nonlinear flow in ComfyUI's layout, and the runs that its sampling nodes and ours are compared in.

Imports torch only: ComfyUI's process imports this file too.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHANNELS, FRAMES = 64, 12


def velocities(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """The velocities with and without condition, `[b 64 t]`, at a level of any shape that broadcasts."""
    generator = torch.Generator().manual_seed(5)
    weights = torch.randn(2, CHANNELS, CHANNELS, generator=generator) / 10
    bias = torch.randn(2, CHANNELS, 1, generator=generator)
    with_condition, without = (
        0.7 * x + 0.5 * torch.tanh(torch.matmul(w, x) + b * (1 + sigma)) for w, b in zip(weights, bias, strict=True)
    )
    return with_condition, without


def source(batch: int) -> Tensor:
    """Latents that a run may start from or keep, `[b 64 t]`."""
    return 0.8 * torch.randn(batch, CHANNELS, FRAMES, generator=torch.Generator().manual_seed(batch))


def half_mask() -> Tensor:
    """A mask for the second half of the frames, half as long as the latents."""
    return (torch.arange(FRAMES // 2) >= FRAMES // 4).float().reshape(1, 1, -1)


def run_of(
    steps: int,
    scheduler: str,
    *,
    shift: float = 3.0,
    denoise: float = 1.0,
    seed: int = 0,
    batch: int = 1,
    cfg: float = 1.0,
    is_empty: bool = True,
    is_masked: bool = False,
) -> dict[str, Any]:
    """The settings of a run of KSampler."""
    return dict(locals())


RUNS = [
    run_of(1, "simple"),
    run_of(2, "simple", cfg=4.0, seed=1),
    run_of(3, "sgm_uniform", cfg=2.5, seed=7, batch=2),
    run_of(4, "normal", shift=1.0, seed=2**32 + 5, cfg=3.0),
    run_of(8, "karras", cfg=5.0, seed=2**63, batch=3),
    run_of(10, "simple", cfg=4.0, seed=11, denoise=0.6, is_empty=False),
    run_of(12, "beta", shift=5.5, cfg=4.0, seed=12, batch=2, is_empty=False, is_masked=True),
    run_of(27, "simple", cfg=3.0, seed=99, batch=2),
    run_of(50, "linear_quadratic", cfg=2.0, seed=123456789),
]

# Sampler, options, for the sampler nodes that have some.
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("euler_ancestral", {"eta": 0.4, "s_noise": 0.9}),
    ("euler_ancestral", {"eta": 0.0}),
    ("euler_ancestral_cfg_pp", {"eta": 0.5, "s_noise": 0.8}),
    ("dpmpp_2s_ancestral", {"eta": 0.3, "s_noise": 1.1}),
    ("lms", {"order": 2}),
    ("lms", {"order": 6}),
    ("dpm_adaptive", {"order": 2, "eta": 0.5, "rtol": 0.02}),
    ("dpm_adaptive", {"pcoeff": 0.2, "dcoeff": 0.1, "h_init": 0.2}),
    ("dpmpp_sde", {"eta": 0.4, "r": 0.7}),
    ("dpmpp_2m_sde", {"eta": 0.3, "solver_type": "heun", "s_noise": 0.5}),
    ("dpmpp_2m_sde", {"eta": 0.0}),
    ("dpmpp_3m_sde", {"eta": 0.6}),
    ("er_sde", {"max_stage": 2}),
    ("er_sde", {"solver_type": "Reverse-time SDE", "eta": 0.5}),
    ("er_sde", {"solver_type": "ODE"}),
    ("seeds_2", {"eta": 0.7, "r": 0.3, "solver_type": "phi_2"}),
    ("exp_heun_2_x0", {"solver_type": "phi_1"}),
    ("sa_solver", {"eta": 0.5, "predictor_order": 2, "corrector_order": 2, "simple_order_2": True}),
    ("sa_solver", {"use_pece": True, "corrector_order": 0, "sde_start_sigma": 0.95, "sde_end_sigma": 0.2}),
    ("gradient_estimation", {"ge_gamma": 3.0}),
]

WITH_OPTIONS = [RUNS[2], RUNS[6], RUNS[8]]


def cases(samplers: list[str]) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Sampler, options and run: every sampler in every run, and the options in some."""
    plain = [(name, {}, run) for name in samplers for run in RUNS]
    return plain + [(name, options, run) for name, options in OPTIONS for run in WITH_OPTIONS]


def stored_cases(samplers: list[str]) -> dict[str, tuple[str, dict[str, Any], dict[str, Any]]]:
    """The cases whose results in ComfyUI are stored for tests without it, by name."""
    stored = [RUNS.index(run) for run in WITH_OPTIONS[:2]]
    return {
        " ".join([name, *(f"{key}={value}" for key, value in options.items()), f"run {RUNS.index(run)}"]): (
            name,
            options,
            run,
        )
        for name, options, run in cases(samplers)
        if RUNS.index(run) in stored
    }


def excerpt(samples: Tensor) -> list[float]:
    """Three of the samples `[b 64 12]`, none of which a mask keeps, to six digits."""
    return [float(f"{value:.6g}") for value in (samples[0, 0, -1], samples[-1, 20, -3], samples[-1, -1, -1])]


def level_cases(schedulers: list[str]) -> list[tuple[float, str, int, float]]:
    """Shift, scheduler, steps and denoise. Left out: what ComfyUI computes no numbers for."""
    settings = [(3.0, 1.0), (1.0, 0.5), (1.73, 0.07), (6.0, 0.99), (0.5, 0.0)]
    return [
        (shift, scheduler, steps, denoise)
        for shift, denoise in settings
        for scheduler in schedulers
        for steps in (1, 2, 3, 8, 27, 50, 300)
        if scheduler != "kl_optimal" or steps > 1
    ]


LEVELS = [1.0, 0.91, 0.8, 0.55, 0.3, 0.12, 0.0]
# Shape, seed, places in the batch. Fewer than 16 numbers are drawn one at a time, more in blocks.
NOISE: list[tuple[tuple[int, ...], int, list[int] | None]] = [
    ((1, 64, 12), 0, None),
    ((3, 64, 7), 2**32 + 3, None),
    ((2, 5, 3), 2**64 - 1, None),
    ((1, 2, 3), 17, None),
    ((3, 64, 5), 17, [0, 1, 2]),
    ((4, 64, 5), 17, [3, 1, 1, 3]),
    ((1, 64, 5), 2**63, [2]),
]

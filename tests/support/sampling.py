"""Guidance, a predictor and a solver for tests of the sampler."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from acestep_xl.sampler.guidance import Guidance
from acestep_xl.sampler.solver import Evaluate, Stepper

# The guidance of the official inference.
APG = Guidance("apg", 7.0, 0.0, 1.0, -0.75, 2.5, 0.0, 3.14 / 6, "standard")
CFG = replace(APG, type="cfg", scale=3.0)
UNGUIDED = replace(APG, scale=1.0)


def field(x: Tensor, t: float, *, unconditional: bool) -> tuple[Tensor, Tensor | None]:
    """A predictor without a network."""
    return torch.tanh(2 * x) - 0.3 * t, torch.sin(3 * x + t) if unconditional else None


def heun() -> Stepper:
    """Heun's method, independent of the pack's."""

    def step(evaluate: Evaluate, x: Tensor, t: float, t_next: float) -> Tensor:
        first = evaluate(x, t)
        return x - (first + evaluate(x - first * (t - t_next), t_next)) / 2 * (t - t_next)

    return step


def tensors(count: int, seed: int = 0, batch: int = 2, frames: int = 11, channels: int = 4) -> tuple[Tensor, ...]:
    """Random tensors `[b t c]` of doubles."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(count, batch, frames, channels, generator=generator, dtype=torch.float64))

"""Edits of noise levels: what ComfyUI's SIGMAS nodes do. Levels are float32 ``[n]``; results are new tensors."""

from __future__ import annotations

import math
import re

import torch
from torch import Tensor

_SPACINGS = {
    "linear": lambda x: x,
    "cosine": lambda x: torch.sin(x * math.pi / 2),
    "sine": lambda x: 1 - torch.cos(x * math.pi / 2),
}
# A flipped run cannot begin at 0, where the velocity is not defined by x.
_LOWEST_START = 0.0001


def split(sigmas: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """SplitSigmas: the levels up to a step and from it on; both hold the step's level."""
    return sigmas[: step + 1].clone(), sigmas[step:].clone()


def split_denoise(sigmas: Tensor, denoise: float) -> tuple[Tensor, Tensor]:
    """SplitSigmasDenoise: the second part holds the last ``round(steps * denoise)`` steps.

    The first part ends at the level where the second begins; as in ComfyUI it is empty if the second has no step.
    """
    steps = round(max(len(sigmas) - 1, 0) * denoise)
    return sigmas[: -steps if steps else 0].clone(), sigmas[-(steps + 1) :].clone()


def flip(sigmas: Tensor) -> Tensor:
    """FlipSigmas: from clean to noise; a first level of 0 becomes 0.0001."""
    flipped = sigmas.flip(0)
    if len(flipped) and flipped[0] == 0:
        flipped[0] = _LOWEST_START
    return flipped


def set_first(sigmas: Tensor, sigma: float) -> Tensor:
    """SetFirstSigma. Raises ValueError for an empty list."""
    if len(sigmas) == 0:
        raise ValueError("sigmas is empty, there is no first level to set: connect a scheduler with at least one step")
    return torch.cat([sigmas.new_tensor([sigma]), sigmas[1:]])


def extend(sigmas: Tensor, steps: int, start_at_sigma: float, end_at_sigma: float, spacing: str) -> Tensor:
    """ExtendIntermediateSigmas: every step that starts between two levels is divided into ``steps`` steps.

    start_at_sigma: the upper bound; none if negative. spacing: linear, cosine or sine; ValueError for another.
    """
    if spacing not in _SPACINGS:
        raise ValueError(f"unknown spacing {spacing!r}; known: {', '.join(_SPACINGS)}")
    highest = math.inf if start_at_sigma < 0 else start_at_sigma
    fractions = _SPACINGS[spacing](torch.linspace(0, 1, steps + 1)[1:-1])
    parts = []
    for i, sigma in enumerate(sigmas):
        parts.append(sigma.view(1))
        if i + 1 < len(sigmas) and end_at_sigma <= sigma <= highest:
            parts.append(fractions * (sigmas[i + 1] - sigma) + sigma)
    return torch.cat(parts) if parts else sigmas.clone()


def parse(text: str) -> Tensor:
    """ManualSigmas: every number in the text, in its order; anything between numbers separates them."""
    return torch.tensor([float(number) for number in re.findall(r"[-+]?\d*\.*\d+", text)], dtype=torch.float32)

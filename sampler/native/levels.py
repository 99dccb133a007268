"""Noise levels (sigma, the t of the flow) that a native graph's model defines, and the flow's straight path.

``x = sigma noise + (1 - sigma) data``, and the clean estimate is ``x - sigma velocity``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

TABLE_SIZE = 1000
_Time = TypeVar("_Time", float, Tensor)
# Near the pure noise of sigma 1 the log signal-to-noise ratio is infinite; samplers begin this fraction later.
_FIRST_FRACTION = 1e-4


@dataclass(frozen=True)
class FlowLevels:
    """The levels of a flow model with a timestep shift (Esser et al. 2024, section 5.3.2).

    shift: 3 is ComfyUI's for ACE-Step 1.5; ModelSamplingAuraFlow replaces it. Raises ValueError unless it is above 0.
    """

    shift: float = 3.0

    def __post_init__(self) -> None:
        if not 0 < self.shift < math.inf:
            raise ValueError(f"noise levels: shift is {self.shift}, it must be above 0 and finite")

    def table(self) -> Tensor:
        """The levels that table-based schedulers pick from, ascending, ``[1000]`` float32."""
        return self.sigma(torch.arange(1, TABLE_SIZE + 1) / TABLE_SIZE)

    def sigma(self, timestep: Tensor) -> Tensor:
        """The shifted level of an unshifted timestep, 0 .. 1."""
        return _shifted(timestep, self.shift)

    def percent_to_sigma(self, percent: float) -> float:
        """The level after a fraction 0 .. 1 of the unshifted time has passed."""
        if percent <= 0 or percent >= 1:
            return 1.0 if percent <= 0 else 0.0
        return _shifted(1.0 - percent, self.shift)

    def below_one(self, sigmas: Tensor) -> Tensor:
        """The levels with a first level of 1 lowered to where the signal-to-noise ratio is above 0."""
        if len(sigmas) < 2 or sigmas[0] < 1:
            return sigmas
        return torch.cat([sigmas.new_tensor([self.percent_to_sigma(_FIRST_FRACTION)]), sigmas[1:]])


def _shifted(u: _Time, shift: float) -> _Time:
    return u if shift == 1.0 else shift * u / (1 + (shift - 1) * u)


def noised(latent: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """The latent at level sigma, all ``[b c t]``."""
    return sigma * noise + (1.0 - sigma) * latent


def half_log_snr(sigma: Tensor) -> Tensor:
    """``log((1 - sigma) / sigma)``, infinite at both ends."""
    return sigma.logit().neg()


def from_half_log_snr(ratio: Tensor) -> Tensor:
    """The inverse of ``half_log_snr``."""
    return ratio.neg().sigmoid()

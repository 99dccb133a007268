"""Modifiers: small changes to the guided velocity, or to the latent after a step. All are off by default.

Within a step the hooks run in this order: ``guided`` on the velocity of a guided step, right after guidance;
``velocity`` on every velocity, so the solver and the clean estimate see the modified one; ``step`` on the solver's
result, before a region restores its source. Each hook runs the modifiers in the order given; the official inference
clamps before it smooths.

Batch items are independent of each other. Velocities and latents are ``[b t c]``; t is the noise level, 1 (noise) .. 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from .validation import find_problems

_TINY = 1e-10


class Modifier:
    """A modifier and its settings. Hooks that a modifier does not override change nothing.

    SETTINGS: its fields and the parameters that give their ranges and defaults; a value out of range raises ValueError.
    WARNING: what a user should know before turning it on.
    """

    SETTINGS: ClassVar[dict[str, str]] = {}
    WARNING: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        problems = find_problems(self, self.SETTINGS)
        if problems:
            raise ValueError(f"{type(self).__name__}: " + "; ".join(problems))

    def begin(self) -> Modifier:
        """Start the modifier of one run; a stateful one returns an object with its own state."""
        return self

    def guided(self, velocity: Tensor, cond: Tensor, x: Tensor, t: float) -> Tensor:
        """Change the guided velocity at (x, t), in guided steps only. cond: the conditional velocity."""
        return velocity

    def velocity(self, velocity: Tensor, x: Tensor, t: float, advance: bool) -> Tensor:
        """Change the velocity at (x, t). advance: True for the first evaluation of a step, which advances the state;
        later evaluations of the step use the state that the first one used."""
        return velocity

    def step(self, x: Tensor, x0: Tensor, t: float) -> Tensor:
        """Change the latent x after a step from level t. x0: the clean estimate at the step's start."""
        return x


@dataclass(frozen=True)
class NormClamp(Modifier):
    """Limits the velocity's norm to a multiple of the latent's: ``v min(1, threshold |x| / |v|)``.

    Norms are over time and channels, per item (official inference).
    """

    threshold: float
    SETTINGS: ClassVar = {"threshold": "norm_clamp_threshold"}

    def velocity(self, velocity: Tensor, x: Tensor, t: float, advance: bool) -> Tensor:
        velocity_norm, x_norm = (z.norm(dim=(1, 2), keepdim=True) for z in (velocity, x))
        return velocity * (self.threshold * x_norm / (velocity_norm + _TINY)).clamp(max=1)


@dataclass(frozen=True)
class VelocityEma(Modifier):
    """Smooths the velocity over the steps: ``(1 - factor) v + factor v'``, v' being the previous step's smoothed one.

    Equals the official inference for solvers with one evaluation per step. There, Heun's second evaluation is smoothed
    with the first of the same step; here all evaluations of a step use the previous step's velocity. Mixing in an older
    velocity reduces any solver to first order.
    """

    factor: float
    SETTINGS: ClassVar = {"factor": "velocity_ema_factor"}

    def begin(self) -> Modifier:
        return _VelocityEmaRun(self.factor)


class _VelocityEmaRun(Modifier):
    """Velocity EMA of one run."""

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._previous_average: Tensor | None = None  # smoothed velocity of the previous step
        self._average: Tensor | None = None  # of this step

    def velocity(self, velocity: Tensor, x: Tensor, t: float, advance: bool) -> Tensor:
        if advance:
            self._previous_average = self._average
        if self._previous_average is not None:
            velocity = (1 - self._factor) * velocity + self._factor * self._previous_average
        if advance:
            self._average = velocity
        return velocity


@dataclass(frozen=True)
class GuidanceRescale(Modifier):
    """Moves the standard deviation of the guided estimate towards the conditional one's (Lin et al. 2023, section 3.4).

    The paper scales the network's output, which in its parametrisation is the clean estimate where noise is strongest.
    A flow's velocity also contains the noise, and scaling it would leave noise behind, so the clean estimate
    ``x0 = x - t v`` is scaled by ``factor s_cond / s_guided + 1 - factor``; s is the standard deviation over time and
    channels. At t = 0 the estimate does not depend on the velocity and nothing changes.
    """

    factor: float
    SETTINGS: ClassVar = {"factor": "guidance_rescale"}

    def guided(self, velocity: Tensor, cond: Tensor, x: Tensor, t: float) -> Tensor:
        if t == 0:
            return velocity
        estimate = x - t * velocity
        std_guided = estimate.std(dim=(1, 2), keepdim=True)
        std_cond = (x - t * cond).std(dim=(1, 2), keepdim=True)
        ratio = torch.where(std_guided > 0, std_cond / std_guided, 1)
        return (x - (self.factor * ratio + 1 - self.factor) * estimate) / t


@dataclass(frozen=True)
class Wavelet(Modifier):
    """Correction in wavelet bands (DCW, arXiv 2604.16044) as in the official inference, with the Haar wavelet.

    After every step, including the last, the difference between x and the clean estimate x0 is amplified over time: by
    ``t low`` in the low band and by ``(1 - t) high`` in the high band; t is the level at the step's start. mode: low or
    high, that band only; double, both; pix, ``low`` in both bands at every level. A final Euler step lands on x0
    itself, so it is unchanged. The official code uses its low scaler in mode high too; here each band has its own. An
    odd last frame is paired with zeros.

    It assumes a solver that adds no noise, since fresh noise is not an error to correct.
    """

    mode: str
    low: float
    high: float
    SETTINGS: ClassVar = {"mode": "wavelet_mode", "low": "wavelet_low", "high": "wavelet_high"}
    WARNING: ClassVar = (
        "the wavelet correction acts once per step, so its effect grows with their number: made for turbo checkpoints "
        "at 8 steps, it turns the sound of SFT and base checkpoints at 50 into noise; keep low and high at 0.01 or less"
    )

    def step(self, x: Tensor, x0: Tensor, t: float) -> Tensor:
        difference = x - x0
        if self.mode == "pix":
            return x + self.low * difference
        low_band = _low_band(difference)
        if self.mode != "high":
            x = x + t * self.low * low_band
        if self.mode != "low":
            x = x + (1 - t) * self.high * (difference - low_band)
        return x


def _low_band(z: Tensor) -> Tensor:
    """The low band of one Haar level over time, back in the time domain ``[b t c]``: the means of frame pairs."""
    frames = z.shape[1]
    pairs = F.pad(z, (0, 0, 0, frames % 2)).unflatten(1, (-1, 2))
    return pairs.mean(dim=2, keepdim=True).expand_as(pairs).flatten(1, 2)[:, :frames]


MODIFIERS: dict[str, type[Modifier]] = {
    "norm_clamp": NormClamp,
    "velocity_ema": VelocityEma,
    "guidance_rescale": GuidanceRescale,
    "wavelet": Wavelet,
}


def get_modifier(name: str) -> type[Modifier]:
    """A modifier class by name."""
    if name not in MODIFIERS:
        raise ValueError(f"unknown modifier {name!r}; known: {', '.join(MODIFIERS)}")
    return MODIFIERS[name]

"""Modifiers: small changes to the guided velocity or to the latent after a step. None is on unless asked for.

In a step they act in this order: ``guided`` on the velocity of a guided step, right after guidance; ``velocity`` on
every velocity, so a solver and the estimate of the clean latents see the changed one; ``step`` on the latent that the
solver arrived at, before a region puts its source back. Modifiers of one kind act in the order they are given; the
official inference clamps before it smooths.

Everything is computed per batch item. Velocities and latents are ``[b t c]``; t is the noise level, 1 (noise) .. 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from .limits import problem

_TINY = 1e-10


class Modifier:
    """A modifier and its settings. Every hook returns what it was given unless a modifier overrides it.

    SETTINGS: its fields and the parameters that give their ranges and defaults; a value outside raises ValueError.
    WARNING: what a user should know before turning it on.
    """

    SETTINGS: ClassVar[dict[str, str]] = {}
    WARNING: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        problems = [p for field, name in self.SETTINGS.items() if (p := problem(field, name, getattr(self, field)))]
        if problems:
            raise ValueError(f"{type(self).__name__}: " + "; ".join(problems))

    def begin(self) -> Modifier:
        """The modifier of one run. One that remembers returns an object with a memory of its own."""
        return self

    def guided(self, velocity: Tensor, cond: Tensor, x: Tensor, t: float) -> Tensor:
        """Change the guided velocity at (x, t), in guided steps only; cond is the conditional one."""
        return velocity

    def velocity(self, velocity: Tensor, x: Tensor, t: float, advance: bool) -> Tensor:
        """Change the velocity at (x, t). advance: the first evaluation of a step, in which a memory moves on; further
        evaluations of the step see the memory that the first one saw."""
        return velocity

    def step(self, x: Tensor, x0: Tensor, t: float) -> Tensor:
        """Change the latent x after a step from level t, at whose start the clean latent was estimated as x0."""
        return x


@dataclass(frozen=True)
class NormClamp(Modifier):
    """Limits the velocity's length to a multiple of the latent's: ``v min(1, threshold |x| / |v|)``.

    Lengths are over time and channels, per item (official inference).
    """

    threshold: float
    SETTINGS: ClassVar = {"threshold": "norm_clamp_threshold"}

    def velocity(self, velocity: Tensor, x: Tensor, t: float, advance: bool) -> Tensor:
        length, limit = (z.norm(dim=(1, 2), keepdim=True) for z in (velocity, x))
        return velocity * (self.threshold * limit / (length + _TINY)).clamp(max=1)


@dataclass(frozen=True)
class VelocityEma(Modifier):
    """Smooths the velocity over the steps: ``(1 - factor) v + factor v'``, where v' is the last step's smoothed one.

    The official inference with a solver of one evaluation per step. There, Heun's second evaluation is smoothed with
    the first of the same step; here all evaluations of a step use the last step's velocity. The share of an older
    velocity makes any solver first order.
    """

    factor: float
    SETTINGS: ClassVar = {"factor": "velocity_ema_factor"}

    def begin(self) -> Modifier:
        return _Smoothing(self.factor)


class _Smoothing(Modifier):
    """Velocity EMA during one run."""

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._before: Tensor | None = None  # the last step's velocity
        self._now: Tensor | None = None  # this step's

    def velocity(self, velocity: Tensor, x: Tensor, t: float, advance: bool) -> Tensor:
        if advance:
            self._before = self._now
        if self._before is not None:
            velocity = (1 - self._factor) * velocity + self._factor * self._before
        if advance:
            self._now = velocity
        return velocity


@dataclass(frozen=True)
class GuidanceRescale(Modifier):
    """Brings the spread of the guided estimate back towards that of the conditional one (Lin et al. 2023, section 3.4).

    The paper scales the network's output, which in its parametrisation is the clean estimate where noise is strongest.
    A flow's velocity also carries the noise, and to scale that would leave noise behind, so the clean estimate
    ``x0 = x - t v`` is scaled by ``factor s_cond / s_guided + 1 - factor``; s is the standard deviation over time and
    channels. At t = 0 the estimate does not depend on the velocity and nothing is changed.
    """

    factor: float
    SETTINGS: ClassVar = {"factor": "guidance_rescale"}

    def guided(self, velocity: Tensor, cond: Tensor, x: Tensor, t: float) -> Tensor:
        if t == 0:
            return velocity
        estimate = x - t * velocity
        spread = estimate.std(dim=(1, 2), keepdim=True)
        wanted = (x - t * cond).std(dim=(1, 2), keepdim=True)
        ratio = torch.where(spread > 0, wanted / spread, 1)
        return (x - (self.factor * ratio + 1 - self.factor) * estimate) / t


@dataclass(frozen=True)
class Wavelet(Modifier):
    """Correction in wavelet bands (DCW, arXiv 2604.16044) as the official inference does it, with the Haar wavelet.

    After every step, the last one included, the difference between x and the clean estimate x0 is increased: by
    ``t low`` in the slow half of its frequencies over time, by ``(1 - t) high`` in the fast half; t is the level that
    the step came from. mode: low or high, one half only; double, both; pix, ``low`` everywhere at every step. A last
    Euler step arrives at x0 itself, so nothing changes there. The official code takes its low scaler in mode high
    too; here each half has its own. An odd last frame is paired with zeros.

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
        slow = _slow_half(difference)
        if self.mode != "high":
            x = x + t * self.low * slow
        if self.mode != "low":
            x = x + (1 - t) * self.high * (difference - slow)
        return x


def _slow_half(z: Tensor) -> Tensor:
    """The part of ``[b t c]`` that one level of the Haar transform over time keeps in its low band: means of pairs."""
    frames = z.shape[1]
    pairs = F.pad(z, (0, 0, 0, frames % 2)).unflatten(1, (-1, 2))
    return pairs.mean(dim=2, keepdim=True).expand_as(pairs).flatten(1, 2)[:, :frames]


MODIFIERS: dict[str, type[Modifier]] = {
    "norm_clamp": NormClamp,
    "velocity_ema": VelocityEma,
    "guidance_rescale": GuidanceRescale,
    "wavelet": Wavelet,
}


def modifier(name: str) -> type[Modifier]:
    """A modifier by name; it is made with its settings."""
    if name not in MODIFIERS:
        raise ValueError(f"unknown modifier {name!r}; known: {', '.join(MODIFIERS)}")
    return MODIFIERS[name]

"""Guidance: one velocity out of the conditional and the unconditional one.

Everything is computed per batch item, so an item never depends on its neighbours. Velocities and latents are
``[b t c]``; t is the noise level, 1 (noise) .. 0 (clean).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from .limits import problem

_PARAMETERS = {
    "type": "guidance_type",
    "scale": "guidance_scale",
    "start": "guidance_start",
    "end": "guidance_end",
    "momentum": "apg_momentum",
    "norm_threshold": "apg_norm_threshold",
    "eta": "apg_eta",
    "angle_clip": "adg_angle_clip",
    "adg_variant": "adg_variant",
}
# Levels that travelled as float32 are off by some 1e-7; an interval that ends on a step must still include it.
_ROUNDING = 1e-6
# ADG: below this sine, sin(w a) / sin(a) is taken as its limit w (official inference).
_SMALL_SINE = 1e-3


@dataclass(frozen=True)
class ScaleCurve:
    """How the guidance scale moves while guidance is on: from the run's scale to ``end_scale``.

    shape: a key of ``CURVES``; constant stays at the run's scale. Raises ValueError for values out of range, all at
    once.
    """

    shape: str
    end_scale: float

    def __post_init__(self) -> None:
        fields = {"shape": "guidance_curve", "end_scale": "guidance_end_scale"}
        problems = [p for field, name in fields.items() if (p := problem(field, name, getattr(self, field)))]
        if problems:
            raise ValueError("guidance curve: " + "; ".join(problems))


@dataclass(frozen=True)
class Guidance:
    """How a run is guided. Ranges are those of ``parameters``; values outside raise ValueError, all at once.

    type: a key of ``GUIDANCE``. scale: 1 is no guidance. start, end: the interval of progress (0 first step, 1 last;
    1 - t at the step's start) in which guidance applies. momentum, norm_threshold (0 = no limit), eta: APG.
    angle_clip in radians, adg_variant: ADG. curve: how the scale moves, from ``scale`` at the interval's start, over
    progress.
    """

    type: str
    scale: float
    start: float
    end: float
    momentum: float
    norm_threshold: float
    eta: float
    angle_clip: float
    adg_variant: str
    curve: ScaleCurve = ScaleCurve("constant", 1.0)

    def __post_init__(self) -> None:
        problems = [p for field, name in _PARAMETERS.items() if (p := problem(field, name, getattr(self, field)))]
        if self.start > self.end:
            problems.append(f"start {self.start} lies after end {self.end}: swap them")
        if problems:
            raise ValueError("guidance: " + "; ".join(problems))

    def active(self, t: float) -> bool:
        """Whether a step that starts at level t is guided; when not, the unconditional velocity is not needed."""
        progress = 1 - t
        return self.scale_at(t) > 1 and self.start - _ROUNDING <= progress <= self.end + _ROUNDING

    def scale_at(self, t: float) -> float:
        """The scale at level t. Outside the interval it is that of the nearer end."""
        length = self.end - self.start
        way = min(max((1 - t - self.start) / length, 0.0), 1.0) if length > 0 else 0.0
        return self.scale + CURVES[self.curve.shape](way) * (self.curve.end_scale - self.scale)

    def begin(self) -> GuidanceRun:
        """The guidance of one run, with a memory of its own."""
        return guidance(self.type)(self)


class GuidanceRun(Protocol):
    """Guidance of one run."""

    def combine(self, cond: Tensor, uncond: Tensor, x: Tensor, t: float, advance: bool = True) -> Tensor:
        """The guided velocity at (x, t).

        advance: the memory moves on one step; true for the first evaluation of a step. Further evaluations of the same
        step pass False and see what the first one saw, so within a step the guided velocity is one function of (x, t),
        which is what a solver of higher order relies on.
        """
        ...


class Cfg:
    """Classifier-free guidance (Ho and Salimans 2022): ``u + g (c - u)``."""

    def __init__(self, guidance: Guidance) -> None:
        self._scale_at = guidance.scale_at

    def combine(self, cond: Tensor, uncond: Tensor, x: Tensor, t: float, advance: bool = True) -> Tensor:
        return uncond + self._scale_at(t) * (cond - uncond)


class Apg:
    """Adaptive projected guidance (Sadat, Hilliges and Weber 2024) in the form of the official inference.

    Lengths and projections run over time, per item and channel. Its limit is an absolute length, so the longer the
    song, the weaker the same scale acts.
    """

    def __init__(self, guidance: Guidance) -> None:
        self._guidance = guidance
        self._before: Tensor | None = None  # the running difference that this step builds on
        self._now: Tensor | None = None  # the one that this step arrived at

    def combine(self, cond: Tensor, uncond: Tensor, x: Tensor, t: float, advance: bool = True) -> Tensor:
        settings = self._guidance
        if advance:
            self._before = self._now
        difference = cond - uncond
        if self._before is not None:
            difference = difference + settings.momentum * self._before
        if advance:
            self._now = difference
        if settings.norm_threshold > 0:
            length = difference.norm(dim=1, keepdim=True)
            difference = difference * (settings.norm_threshold / length).clamp(max=1)
        parallel, orthogonal = _split(difference, cond)
        return cond + (settings.scale_at(t) - 1) * (orthogonal + settings.eta * parallel)


def _split(difference: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """The parts of ``difference`` parallel and orthogonal to ``direction`` over time, per item and channel."""
    wide = _wide(difference)
    unit = F.normalize(direction.to(wide), dim=1)
    d = difference.to(wide)
    parallel = (d * unit).sum(dim=1, keepdim=True) * unit
    return parallel.to(difference.dtype), (d - parallel).to(difference.dtype)


class Adg:
    """Angle domain guidance (Jin et al. 2025) in the form of the official inference: it turns the clean estimates.

    With a = angle between a frame's conditional and unconditional estimate, over channels, and w = g - 1 + 0.001, the
    conditional one is turned away from the other by w a, at most ``angle_clip``. Variants: standard; normalised, where
    every channel keeps the length over time it had (official clip: 3.14 / 3); unclipped.
    """

    def __init__(self, guidance: Guidance) -> None:
        self._scale_at = guidance.scale_at
        self._clip = None if guidance.adg_variant == "unclipped" else guidance.angle_clip
        self._normalise = guidance.adg_variant == "normalised"
        self._plain = Cfg(guidance)

    def combine(self, cond: Tensor, uncond: Tensor, x: Tensor, t: float, advance: bool = True) -> Tensor:
        if t == 0:  # the estimate is x itself whatever the velocity, so there is no angle; only correctors come here
            return self._plain.combine(cond, uncond, x, t, advance)
        clean, other = x - t * cond, x - t * uncond
        angle = _angle(clean, other)
        weight = max(self._scale_at(t) - 1, 0) + 1e-3
        turned = weight * angle
        if self._clip is not None:
            turned = turned.clamp(max=self._clip)
        sine = angle.sin()
        gain = torch.where(sine > _SMALL_SINE, turned.sin() / sine, weight)
        guided = turned.cos().to(x.dtype) * clean + gain.to(x.dtype) * _perpendicular(clean - other, other)
        if self._normalise:
            guided = guided * (clean.norm(dim=1, keepdim=True) / guided.norm(dim=1, keepdim=True))
        return (x - guided) / t


def _angle(a: Tensor, b: Tensor) -> Tensor:
    """Angle between frames over channels, ``[b t 1]``, in radians and in the widest format of the device."""
    wide = _wide(a)
    cosine = (F.normalize(a.to(wide), dim=-1) * F.normalize(b.to(wide), dim=-1)).sum(dim=-1, keepdim=True)
    return cosine.clamp(-1, 1).acos()  # rounding puts equal frames a hair above 1, where acos is NaN


def _perpendicular(a: Tensor, b: Tensor) -> Tensor:
    unit = F.normalize(b, dim=-1)
    return a - (a * unit).sum(dim=-1, keepdim=True) * unit


def _wide(x: Tensor) -> torch.dtype:
    """float64, except on Apple's GPUs, which have none."""
    return torch.float32 if x.device.type == "mps" else torch.float64


# From 0 at the interval's start to 1 at its end: how far the scale has moved from its start to its end.
CURVES: dict[str, Callable[[float], float]] = {
    "constant": lambda way: 0.0,
    "linear": lambda way: way,
    "cosine": lambda way: (1 - math.cos(math.pi * way)) / 2,
}
GUIDANCE: dict[str, Callable[[Guidance], GuidanceRun]] = {"apg": Apg, "cfg": Cfg, "adg": Adg}


def guidance(name: str) -> Callable[[Guidance], GuidanceRun]:
    """A kind of guidance by name."""
    if name not in GUIDANCE:
        raise ValueError(f"unknown guidance {name!r}; known: {', '.join(GUIDANCE)}")
    return GUIDANCE[name]

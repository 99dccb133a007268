"""Guidance: combines the conditional and the unconditional velocity into one.

Batch items are independent of each other. Velocities and latents are ``[b t c]``; t is the noise level, 1 (noise) ..
0 (clean).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from .validation import find_problems

# Field of Guidance -> its parameter.
PARAMETER_NAMES = {
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
# A float32 level is off by up to about 1e-7; an interval that ends on a step must still include that step.
_TOLERANCE = 1e-6
# ADG: below this sine, sin(w a) / sin(a) is taken as its limit w (official inference).
_SMALL_SINE = 1e-3


@dataclass(frozen=True)
class ScaleCurve:
    """How the guidance scale moves, from the run's scale to ``end_scale``, while guidance is on.

    shape: a key of ``CURVES``; constant stays at the run's scale. Raises ValueError that lists every value out of
    range.
    """

    shape: str
    end_scale: float

    def __post_init__(self) -> None:
        problems = find_problems(self, {"shape": "guidance_curve", "end_scale": "guidance_end_scale"})
        if problems:
            raise ValueError("guidance curve: " + "; ".join(problems))


@dataclass(frozen=True)
class Guidance:
    """How a run is guided. Ranges are those of ``parameters``; ValueError lists every value out of range.

    type: a key of ``GUIDANCE``. scale: 1 is no guidance. start, end: the interval of progress (0 first step, 1 last;
    1 - t at the step's start) in which guidance applies. momentum, norm_threshold (0 = no limit), eta: APG only.
    angle_clip (radians), adg_variant: ADG only. curve: the scale over progress, from ``scale`` at the interval's start.
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
        problems = find_problems(self, PARAMETER_NAMES)
        if self.start > self.end:
            problems.append(f"start {self.start} lies after end {self.end}: swap them")
        if problems:
            raise ValueError("guidance: " + "; ".join(problems))

    def active(self, t: float) -> bool:
        """Whether a step that starts at level t is guided, and so needs the unconditional velocity."""
        progress = 1 - t
        return self.scale_at(t) > 1 and self.start - _TOLERANCE <= progress <= self.end + _TOLERANCE

    def scale_at(self, t: float) -> float:
        """The scale at level t; outside the interval, that of the nearer end."""
        length = self.end - self.start
        fraction = min(max((1 - t - self.start) / length, 0.0), 1.0) if length > 0 else 0.0
        return self.scale + CURVES[self.curve.shape](fraction) * (self.curve.end_scale - self.scale)

    def begin(self) -> GuidanceRun:
        """Start the guidance of one run, with its own state."""
        return get_guidance(self.type)(self)


class GuidanceRun(Protocol):
    """Guidance of one run, with its state."""

    def combine(self, cond: Tensor, uncond: Tensor, x: Tensor, t: float, advance: bool = True) -> Tensor:
        """The guided velocity at (x, t).

        advance: True for the first evaluation of a step, which advances the state. Later evaluations of the same step
        pass False and use the state that the first one used, so within a step the guided velocity is a function of
        (x, t) alone, as higher-order solvers require.
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

    Norms and projections are over time, per item and channel. ``norm_threshold`` is absolute, so the same scale has
    less effect on a longer song.
    """

    def __init__(self, guidance: Guidance) -> None:
        self._guidance = guidance
        self._previous_average: Tensor | None = None  # running average of the difference, after the previous step
        self._average: Tensor | None = None  # the same, after this step

    def combine(self, cond: Tensor, uncond: Tensor, x: Tensor, t: float, advance: bool = True) -> Tensor:
        settings = self._guidance
        if advance:
            self._previous_average = self._average
        difference = cond - uncond
        if self._previous_average is not None:
            difference = difference + settings.momentum * self._previous_average
        if advance:
            self._average = difference
        if settings.norm_threshold > 0:
            norm = difference.norm(dim=1, keepdim=True)
            difference = difference * (settings.norm_threshold / norm).clamp(max=1)
        parallel, orthogonal = _project(difference, cond)
        return cond + (settings.scale_at(t) - 1) * (orthogonal + settings.eta * parallel)


def _project(difference: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """The components of ``difference`` parallel and orthogonal to ``direction`` over time, per item and channel."""
    dtype = _widest_dtype(difference)
    unit = F.normalize(direction.to(dtype), dim=1)
    d = difference.to(dtype)
    parallel = (d * unit).sum(dim=1, keepdim=True) * unit
    return parallel.to(difference.dtype), (d - parallel).to(difference.dtype)


class Adg:
    """Angle domain guidance (Jin et al. 2025) in the form of the official inference: it rotates the clean estimates.

    With a the angle over channels between a frame's conditional and unconditional estimate, and w = g - 1 + 0.001, the
    conditional estimate is rotated away from the unconditional one by w a, at most ``angle_clip``. Variants: standard;
    normalised, where every channel keeps its norm over time (official clip: 3.14 / 3); unclipped.
    """

    def __init__(self, guidance: Guidance) -> None:
        self._scale_at = guidance.scale_at
        self._clip = None if guidance.adg_variant == "unclipped" else guidance.angle_clip
        self._normalise = guidance.adg_variant == "normalised"
        self._cfg = Cfg(guidance)

    def combine(self, cond: Tensor, uncond: Tensor, x: Tensor, t: float, advance: bool = True) -> Tensor:
        if t == 0:  # both estimates are x, so there is no angle; only a solver's last corrector evaluates here
            return self._cfg.combine(cond, uncond, x, t, advance)
        x0_cond, x0_uncond = x - t * cond, x - t * uncond
        angle = _angle(x0_cond, x0_uncond)
        weight = max(self._scale_at(t) - 1, 0) + 1e-3
        rotation = weight * angle
        if self._clip is not None:
            rotation = rotation.clamp(max=self._clip)
        sine = angle.sin()
        gain = torch.where(sine > _SMALL_SINE, rotation.sin() / sine, weight)
        guided = rotation.cos().to(x.dtype) * x0_cond + gain.to(x.dtype) * _orthogonal(x0_cond - x0_uncond, x0_uncond)
        if self._normalise:
            guided = guided * (x0_cond.norm(dim=1, keepdim=True) / guided.norm(dim=1, keepdim=True))
        return (x - guided) / t


def _angle(a: Tensor, b: Tensor) -> Tensor:
    """Angle between frames over channels, ``[b t 1]`` in radians, in the device's widest dtype."""
    dtype = _widest_dtype(a)
    cosine = (F.normalize(a.to(dtype), dim=-1) * F.normalize(b.to(dtype), dim=-1)).sum(dim=-1, keepdim=True)
    return cosine.clamp(-1, 1).acos()  # the cosine of equal frames can round to just above 1, where acos is NaN


def _orthogonal(a: Tensor, b: Tensor) -> Tensor:
    """The component of a orthogonal to b, over channels."""
    unit = F.normalize(b, dim=-1)
    return a - (a * unit).sum(dim=-1, keepdim=True) * unit


def _widest_dtype(x: Tensor) -> torch.dtype:
    """float64, or float32 on Apple GPUs, which have no float64."""
    return torch.float32 if x.device.type == "mps" else torch.float64


# Fraction of the interval elapsed -> fraction of the way from the start scale to the end scale.
CURVES: dict[str, Callable[[float], float]] = {
    "constant": lambda fraction: 0.0,
    "linear": lambda fraction: fraction,
    "cosine": lambda fraction: (1 - math.cos(math.pi * fraction)) / 2,
}
GUIDANCE: dict[str, Callable[[Guidance], GuidanceRun]] = {"apg": Apg, "cfg": Cfg, "adg": Adg}


def get_guidance(name: str) -> Callable[[Guidance], GuidanceRun]:
    """A guidance method by name."""
    if name not in GUIDANCE:
        raise ValueError(f"unknown guidance {name!r}; known: {', '.join(GUIDANCE)}")
    return GUIDANCE[name]

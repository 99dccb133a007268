"""The denoising loop. It knows velocities and noise levels, but nothing of text, files or devices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from . import schedule
from .guidance import Guidance, GuidanceRun
from .modifiers import Modifier
from .noise import mix
from .region import Region
from .solver import Solver


class Predictor(Protocol):
    """The network as the loop sees it."""

    def __call__(self, x: Tensor, t: float, *, unconditional: bool) -> tuple[Tensor, Tensor | None]:
        """x: ``[b t c]`` at level t, 1 (noise) .. 0 (clean). Returns the conditional velocity (noise - data) and, if
        requested, the unconditional one, both ``[b t c]``."""
        ...


@dataclass(frozen=True)
class Switch:
    """Replaces the predictor from a step on, counted from 0: how a cover stops following its source.

    The guidance keeps its state. With a step beyond the last, the switch never happens.
    """

    step: int
    predictor: Predictor


@dataclass(frozen=True)
class Step:
    """A finished step, from level t to t_next. Tensors are ``[b t c]``.

    x: the latent after the step. velocity: the guided velocity at the step's start. conditional: the same without
    guidance. x0: the clean estimate at the step's start, from velocity.
    """

    index: int
    total: int
    t: float
    t_next: float
    x: Tensor
    x0: Tensor
    velocity: Tensor
    conditional: Tensor


@torch.no_grad()
def denoise(
    predictor: Predictor,
    x: Tensor,
    sigmas: Sequence[float],
    *,
    guidance: Guidance,
    solver: Solver,
    region: Region | None = None,
    switch: Switch | None = None,
    modifiers: Sequence[Modifier] = (),
    on_step: Callable[[Step], None] | None = None,
) -> Tensor:
    """Integrate the velocity from ``sigmas[0]`` to ``sigmas[-1]``.

    x: ``[b t c]`` at level ``sigmas[0]``: noise, or the result of ``start`` for a first level below 1. The
    unconditional velocity is requested in guided steps only. modifiers keep their state for this run only. on_step is
    called after every step; an exception from it ends the run. Nothing here synchronises with the device. NaN is not
    checked for and propagates to the result.

    Raises ValueError for levels that are not strictly decreasing within 0 .. 1, or end above 0 with a region.
    """
    schedule.check(sigmas)
    region = None if region is None else _prepare(region, x, sigmas[-1])
    steps = len(sigmas) - 1
    injected = region.injected_steps(steps) if region is not None else 0
    stepper, guidance_run, modifier_runs = solver(), guidance.begin(), [modifier.begin() for modifier in modifiers]
    for index, (t, t_next) in enumerate(pairwise(sigmas)):
        current = switch.predictor if switch is not None and index >= switch.step else predictor
        evaluate = _Evaluation(current, guidance_run, guidance.active(t), modifier_runs)
        x_start, x = x, stepper(evaluate, x, t, t_next)
        velocity, conditional = evaluate.first()
        x0 = x_start - velocity * t
        for modifier in modifier_runs:
            x = modifier.step(x, x0, t)
        if region is not None and index < injected:
            x = region.inject(x, t_next)
        if on_step is not None:
            on_step(Step(index, steps, t, t_next, x, x0, velocity, conditional))
    # After the last step inject has restored the clean source, and a soft mask must not be applied twice.
    return x if region is None or injected == steps else region.blend(x)


def _prepare(region: Region, x: Tensor, last_level: float) -> Region:
    if last_level != 0:
        raise ValueError(f"a region needs a schedule that ends at 0, this one ends at {last_level:g}")
    return region.to(x)


def start(noise: Tensor, source: Tensor, t0: float) -> Tensor:
    """The initial latent of a run from level t0: the source noised to that level. All are ``[b t c]``."""
    if noise.shape != source.shape:
        raise ValueError(f"noise is {tuple(noise.shape)}, source {tuple(source.shape)}: the shapes must be equal")
    if not 0 <= t0 <= 1:
        raise ValueError(f"a run cannot start at level {t0}, allowed 0 (the clean source) to 1 (noise)")
    return mix(noise, source, t0)


class _Evaluation:
    """The guided and modified velocity during one step.

    The step's start decides for all its evaluations whether they are guided.
    """

    def __init__(
        self, predictor: Predictor, guidance: GuidanceRun, guided: bool, modifiers: Sequence[Modifier]
    ) -> None:
        self._predictor = predictor
        self._guidance = guidance
        self._guided = guided
        self._modifiers = modifiers
        self._first: tuple[Tensor, Tensor] | None = None

    def __call__(self, x: Tensor, t: float) -> Tensor:
        cond, uncond = self._predictor(x, t, unconditional=self._guided)
        velocity, advance = cond, self._first is None
        if self._guided:
            if uncond is None:
                raise ValueError("the unconditional velocity was requested and the predictor returned none")
            velocity = self._guidance.combine(cond, uncond, x, t, advance=advance)
            for modifier in self._modifiers:
                velocity = modifier.guided(velocity, cond, x, t)
        for modifier in self._modifiers:
            velocity = modifier.velocity(velocity, x, t, advance)
        if advance:
            self._first = velocity, cond
        return velocity

    def first(self) -> tuple[Tensor, Tensor]:
        """The final and the conditional velocity at the step's start."""
        assert self._first is not None, "a solver evaluates the velocity in every step"
        return self._first

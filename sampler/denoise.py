"""The loop from noise to a clean latent. It knows velocities and levels, nothing of text, files or devices."""

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
    """What the loop asks of a network."""

    def __call__(self, x: Tensor, t: float, *, unconditional: bool) -> tuple[Tensor, Tensor | None]:
        """x: ``[b t c]`` at level t, 1 (noise) .. 0 (clean). Returns the conditional velocity (noise - data) and, when
        asked, the unconditional one, both ``[b t c]``."""
        ...


@dataclass(frozen=True)
class Switch:
    """From this step on, counted from 0, another predictor: so a cover lets go of its source.

    The memory of the guidance goes on. A step beyond the last one never comes.
    """

    step: int
    predictor: Predictor


@dataclass(frozen=True)
class Step:
    """What is known after a step: its index out of total, from level t to t_next, the latent x ``[b t c]`` it arrived
    at, and x0 ``[b t c]``, the estimate of the clean latent made at its start from the velocity there; conditional is
    the velocity of the prompt alone."""

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
    """Follow the velocity from ``sigmas[0]`` to ``sigmas[-1]``.

    x: ``[b t c]`` at level ``sigmas[0]``: noise, or ``start`` for a first level below 1. The unconditional velocity is
    asked for in guided steps only. modifiers change the velocity or a step's result; their memory lasts for this run.
    on_step is called after every step; what it raises ends the run at once. Nothing here waits for the device. NaN is
    not looked for: it arrives in the result.

    Raises ValueError for levels that do not fall strictly inside 0 .. 1, or that end above 0 with a region.
    """
    schedule.check(sigmas)
    if region is not None and sigmas[-1] != 0:
        raise ValueError(f"a region needs a schedule that ends at 0, this one ends at {sigmas[-1]:g}")
    region = region.to(x) if region is not None else None
    steps = len(sigmas) - 1
    injected = region.injected_steps(steps) if region is not None else 0
    stepper, guide, changes = solver(), guidance.begin(), [modifier.begin() for modifier in modifiers]
    for index, (t, t_next) in enumerate(pairwise(sigmas)):
        current = switch.predictor if switch is not None and index >= switch.step else predictor
        evaluate = _Evaluation(current, guide, guidance.active(t), changes)
        before, x = x, stepper(evaluate, x, t, t_next)
        velocity, conditional = evaluate.first()
        x0 = before - velocity * t
        for change in changes:
            x = change.step(x, x0, t)
        if region is not None and index < injected:
            x = region.inject(x, t_next)
        if on_step is not None:
            on_step(Step(index, steps, t, t_next, x, x0, velocity, conditional))
    # A source put back after the last step is clean already, and a soft mask must not be applied twice.
    return x if region is None or injected == steps else region.blend(x)


def start(noise: Tensor, source: Tensor, t0: float) -> Tensor:
    """Where a run that begins at level t0 starts: the source noised to that level, ``[b t c]`` all."""
    if noise.shape != source.shape:
        raise ValueError(f"noise is {tuple(noise.shape)}, source {tuple(source.shape)}: they must be equal")
    if not 0 <= t0 <= 1:
        raise ValueError(f"a run cannot start at level {t0}, allowed 0 (the clean source) to 1 (noise)")
    return mix(noise, source, t0)


class _Evaluation:
    """The guided and modified velocity during one step.

    Whether it is guided is settled by the step's start, for all evaluations.
    """

    def __init__(self, predictor: Predictor, guide: GuidanceRun, guided: bool, modifiers: Sequence[Modifier]) -> None:
        self._predictor = predictor
        self._guide = guide
        self._guided = guided
        self._modifiers = modifiers
        self._first: tuple[Tensor, Tensor] | None = None

    def __call__(self, x: Tensor, t: float) -> Tensor:
        cond, uncond = self._predictor(x, t, unconditional=self._guided)
        velocity, advance = cond, self._first is None
        if self._guided:
            if uncond is None:
                raise ValueError("the predictor was asked for the unconditional velocity and returned none")
            velocity = self._guide.combine(cond, uncond, x, t, advance=advance)
            for modifier in self._modifiers:
                velocity = modifier.guided(velocity, cond, x, t)
        for modifier in self._modifiers:
            velocity = modifier.velocity(velocity, x, t, advance)
        if advance:
            self._first = velocity, cond
        return velocity

    def first(self) -> tuple[Tensor, Tensor]:
        """The velocity at the step's start, and the conditional one it was made of."""
        assert self._first is not None, "a solver evaluates the velocity in every step"
        return self._first

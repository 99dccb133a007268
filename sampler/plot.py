"""Plots of a schedule and of a run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from . import chart
from .chart import Panel, Series
from .denoise import Step

GREY, BLUE, ORANGE, GREEN = "#bbbbbb", "#4477aa", "#ee7733", "#228833"
PROGRESS = "progress (1 - t)"


@dataclass(frozen=True)
class Trace:
    """A run per step, averaged over the batch: the RMS of the guided velocity and of the guidance update, and the angle
    in degrees between the update and the conditional velocity."""

    levels: tuple[float, ...]
    velocity: tuple[float, ...]
    update: tuple[float, ...]
    angle: tuple[float, ...]


class Tracer:
    """Records a trace during a run without synchronising with the device."""

    def __init__(self) -> None:
        self._levels: list[float] = []
        self._rows: list[Tensor] = []

    def add(self, step: Step) -> None:
        guided, conditional = step.velocity.flatten(1).float(), step.conditional.flatten(1).float()
        update = guided - conditional
        cosine = torch.nn.functional.cosine_similarity(update, conditional, dim=1)
        angle = torch.rad2deg(torch.arccos(cosine.clamp(-1, 1)))
        rms = [y.square().mean(dim=1).sqrt() for y in (guided, update)]
        self._levels.append(step.t)
        # Without guidance the update is zero and has no angle.
        angle = torch.where(rms[1] > 0, angle, torch.nan)
        self._rows.append(torch.stack([*rms, angle]).mean(dim=1))

    def finish(self) -> Trace:
        velocity, update, angle = torch.stack(self._rows, dim=1).cpu().tolist()
        return Trace(tuple(self._levels), tuple(velocity), tuple(update), tuple(angle))


def draw(sigmas: list[float], solver: str, evaluations: int, trace: Trace | None) -> np.ndarray:
    """Draw the plot as ``[height width 3]`` uint8. evaluations: of the network per step of the solver."""
    panels = [_levels(sigmas, solver, evaluations)]
    if trace is not None:
        progress = [1 - level for level in trace.levels]
        lengths = (
            Series(progress, trace.velocity, BLUE, "velocity"),
            Series(progress, trace.update, ORANGE, "guidance update"),
        )
        angles = (Series(progress, trace.angle, GREEN),)
        title = "Angle between guidance update and conditional velocity"
        panels += [
            Panel("Length of velocity and of what guidance adds", PROGRESS, "length (RMS)", lengths),
            Panel(title, PROGRESS, "degrees", angles, (0.0, 180.0)),
        ]
    return chart.draw(panels)


def _levels(sigmas: list[float], solver: str, evaluations: int) -> Panel:
    steps, index = len(sigmas) - 1, range(len(sigmas))
    total = steps * evaluations
    title = f"{steps} step{'s' if steps > 1 else ''} with {solver}: {total} evaluation{'s' if total > 1 else ''}"
    held = Series(index, sigmas, GREY, markers=False, stairs=True)
    return Panel(title, "step", "noise level t", (held, Series(index, sigmas, BLUE, line=False)), (-0.03, 1.03))

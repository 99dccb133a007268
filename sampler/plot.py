"""Plots of a schedule and of a run. matplotlib is imported only for drawing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .denoise import Step

DARK, BLUE, ORANGE, GREEN, RED = "#222222", "#4477aa", "#ee7733", "#228833", "#cc3311"


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
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise RuntimeError("plots need matplotlib: pip install matplotlib") from error
    rows = 1 if trace is None else 3
    figure = Figure(figsize=(9, 3.4 * rows), dpi=110, layout="constrained")
    axes = figure.subplots(rows, 1, squeeze=False)[:, 0]
    _draw_levels(axes[0], sigmas, solver, evaluations)
    if trace is not None:
        progress = [1 - level for level in trace.levels]
        axes[1].plot(progress, trace.velocity, color=BLUE, marker=".", label="velocity")
        axes[1].plot(progress, trace.update, color=ORANGE, marker=".", label="guidance update")
        axes[1].set(ylabel="length (RMS)", title="Length of velocity and of what guidance adds")
        axes[1].legend()
        axes[2].plot(progress, trace.angle, color=GREEN, marker=".")
        axes[2].set(ylabel="degrees", ylim=(0, 180), title="Angle between guidance update and conditional velocity")
    for axis in axes[1:]:
        axis.set_xlabel("progress (1 - t)")
        axis.grid(alpha=0.3)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_levels(axis: Any, sigmas: list[float], solver: str, evaluations: int) -> None:
    steps = len(sigmas) - 1
    axis.step(range(len(sigmas)), sigmas, where="post", color="#bbbbbb", linewidth=1)
    axis.plot(range(len(sigmas)), sigmas, color=BLUE, marker="o", markersize=4, linestyle="", label="levels")
    total = steps * evaluations
    axis.set(
        xlabel="step",
        ylabel="noise level t",
        ylim=(-0.03, 1.03),
        title=f"{steps} step{'s' if steps > 1 else ''} with {solver}: {total} evaluation{'s' if total > 1 else ''}",
    )
    axis.grid(alpha=0.3)

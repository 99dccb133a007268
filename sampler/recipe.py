"""The recipe of a run: schedule, solver, guidance curve, modifiers and retake noise.

``recipe_reader`` reads it from JSON, ``dump`` writes it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import parameters
from . import schedule as schedules
from .guidance import Guidance, ScaleCurve
from .json_settings import Selection
from .modifiers import MODIFIERS, Modifier
from .recipe_spec import VERSION
from .solver import Solver, make_solver

_SCHEDULE_OPTIONS = ("rho", "alpha", "beta", "threshold", "terminal", "start", "denoise")


@dataclass(frozen=True)
class Retake:
    """Initial noise rotated towards that of another seed, see ``noise.retake``."""

    seed: int
    variance: float


@dataclass(frozen=True)
class Recipe:
    """A validated recipe. start_scale None: the run's own guidance scale."""

    schedule: Selection
    solver: Selection
    start_scale: float | None
    curve: ScaleCurve
    modifiers: tuple[Modifier, ...]
    retake: Retake | None

    def sigmas(self, steps: int, shift: float) -> list[float]:
        """The levels of the schedule. steps, shift: of the run, for a recipe without its own.

        Raises ValueError as ``schedule.build`` does.
        """
        options = {name: parameters.get(f"schedule_{name}").default for name in _SCHEDULE_OPTIONS}
        options |= {"steps": steps, "shift": shift, "sigmas": (), **self.schedule.settings}
        return schedules.build(self.schedule.type, options.pop("steps"), schedules.Options(**options))

    def make_solver(self, seeds: Sequence[int]) -> Solver:
        """The solver; a stochastic one draws the noise of item i from ``seeds[i]``."""
        return make_solver(self.solver.type, seeds, self.solver.settings.get("eta", 0.0))

    def guidance(self, base: Guidance) -> Guidance:
        """The run's guidance with the scale and curve of the recipe."""
        scale = base.scale if self.start_scale is None else self.start_scale
        return replace(base, scale=scale, curve=self.curve)


def dump(recipe: Recipe) -> dict[str, Any]:
    """The JSON object of a recipe, with every setting that it does not inherit; parsing it gives an equal recipe."""
    guidance: dict[str, Any] = {"curve": recipe.curve.shape}
    if recipe.start_scale is not None:
        guidance["startScale"] = recipe.start_scale
    if recipe.curve.shape != "constant":
        guidance["endScale"] = recipe.curve.end_scale
    names = {kind: name for name, kind in MODIFIERS.items()}
    result: dict[str, Any] = {
        "version": VERSION,
        "schedule": _dump_selection(recipe.schedule),
        "solver": _dump_selection(recipe.solver),
        "guidance": guidance,
        "modifiers": [
            {"type": names[type(m)]} | {key: getattr(m, key) for key in m.SETTINGS} for m in recipe.modifiers
        ],
    }
    if recipe.retake is not None:
        result["retake"] = {"seed": recipe.retake.seed, "variance": recipe.retake.variance}
    return result


def _dump_selection(selection: Selection) -> dict[str, Any]:
    settings = {key: list(value) if isinstance(value, tuple) else value for key, value in selection.settings.items()}
    return {"type": selection.type} | settings

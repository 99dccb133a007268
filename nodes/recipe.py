"""Node: recipe, the whole scheduler as one JSON object."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from .. import parameters
from ..host import current_host
from ..pipeline.guider import Guider
from ..pipeline.input_checks import settings_problem
from ..pipeline.retake_noise import RetakeNoise
from ..pipeline.solver_sampler import SolverSampler
from ..sampler import recipe, recipe_reader, recipe_schema
from ..sampler.validation import find_problem


class Recipe:
    """The modular scheduler as text."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = (
        "Sets schedule, solver, guidance curve, modifiers and retake noise from one JSON object, the service's "
        "modularScheduler, or from a name such as DPM++ 2M Karras. See docs/modular-scheduler.md."
    )
    FUNCTION = "make"
    RETURN_TYPES = ("GUIDER", "SIGMAS", "SAMPLER", "NOISE")
    RETURN_NAMES = ("guider", "sigmas", "sampler", "noise")
    OUTPUT_TOOLTIPS = (
        "Guidance with the recipe's curve and modifiers.",
        "The recipe's schedule.",
        "The recipe's solver.",
        "The recipe's noise.",
    )
    SEARCH_ALIASES: ClassVar = ["modular scheduler", "dpm++ 2m karras", "scheduler json"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "guider": ("GUIDER", {"tooltip": "From the guidance node."}),
                "recipe": parameters.widget("recipe"),
                "steps": parameters.widget("steps"),
                "shift": parameters.widget("shift"),
                "seed": parameters.widget("seed"),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, recipe: str | None, steps: int | None = None, shift: float | None = None) -> bool | str:
        """A linked value arrives as None."""
        if recipe is None:
            return True
        values = {"text": recipe, "steps": steps, "shift": shift}
        return settings_problem(_levels, values, {"steps": "steps", "shift": "shift"})

    @staticmethod
    def problems(value: object) -> list[tuple[str, str]]:
        """The problems of a recipe in JSON, each a dotted path and a message that starts with it.

        For programs that fill in the node; takes any object.
        """
        try:
            recipe_reader.parse(value)
        except recipe_reader.RecipeError as error:
            return [(problem.path, problem.message) for problem in error.problems]
        return []

    @staticmethod
    def schema() -> dict[str, Any]:
        """JSON Schema of a recipe."""
        return recipe_schema.schema()

    def make(
        self, guider: Guider, recipe: str, steps: int, shift: float, seed: int
    ) -> tuple[Guider, Tensor, SolverSampler, RetakeNoise]:
        settings = _read(recipe)
        current_host().advise([modifier.WARNING for modifier in settings.modifiers if modifier.WARNING is not None])
        guided = replace(
            guider,
            guidance=settings.guidance(guider.guidance),
            modifiers=(*guider.modifiers, *settings.modifiers),
        )
        retake = settings.retake
        noise = RetakeNoise(seed, seed, 0.0) if retake is None else RetakeNoise(seed, retake.seed, retake.variance)
        solver = SolverSampler(settings.solver.type, settings.solver.settings.get("eta", 0.0))
        return guided, torch.tensor(settings.sigmas(steps, shift)), solver, noise


def _read(text: str) -> recipe.Recipe:
    return recipe_reader.read(text)


def _levels(*, text: str, steps: int, shift: float) -> list[float]:
    """The recipe's noise levels. Raises ValueError."""
    problems = [find_problem("steps", "steps", steps), find_problem("shift", "shift", shift)]
    if any(problems):
        raise ValueError("; ".join(problem for problem in problems if problem))
    return list(_read(text).sigmas(steps, shift))

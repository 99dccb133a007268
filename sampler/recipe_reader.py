"""Reads a recipe from JSON: the ``modularScheduler`` object of a request, or the text of a node.

Unknown, invalid and contradictory settings are all reported at once.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from .. import parameters
from .guidance import ScaleCurve
from .json_settings import ObjectReader, Problem, Selection
from .modifiers import MODIFIERS
from .recipe import Recipe, Retake
from .recipe_spec import GUIDANCE, KEYS, MODIFIER, RETAKE, ROOT, SCHEDULE, SOLVER, VERSION
from .schedule import get_schedule, options_of
from .scheduler_names import split_name
from .solver import SOLVERS


class RecipeError(ValueError):
    """An invalid recipe. problems: all of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = tuple(problems)


def read(text: str) -> Recipe:
    """A recipe from text: a JSON object or a composite name. Empty text is the recipe of the official inference.

    Raises RecipeError with every problem.
    """
    if not text.strip().startswith(("{", "[", '"')):
        return parse(text.strip() or {})
    try:
        value = json.loads(text, object_pairs_hook=_dict_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise RecipeError([Problem(ROOT, f"{ROOT} is not valid JSON: {error}")]) from None
    return parse(value)


def parse(value: object) -> Recipe:
    """A recipe from decoded JSON: an object, or a composite name such as "DPM++ 2M Karras".

    Raises RecipeError with every problem.
    """
    if isinstance(value, str):
        try:
            solver, schedule = split_name(value)
        except ValueError as error:
            raise RecipeError([Problem(ROOT, f"{ROOT}: {error}")]) from None
        value = {"schedule": {"type": schedule}, "solver": {"type": solver}}
    reader = ObjectReader()
    recipe = _read_recipe(reader, value)
    if recipe is None or reader.problems:
        raise RecipeError(reader.problems)
    return recipe


def _dict_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    duplicate = next((name for name in names if names.count(name) > 1), None)
    if duplicate is not None:
        raise ValueError(f"the key {reprlib.repr(duplicate)} occurs twice in one object")
    return dict(pairs)


def _read_recipe(reader: ObjectReader, value: object) -> Recipe | None:
    mapping = reader.read_mapping(ROOT, value, "an object or a composite name such as 'DPM++ 2M Karras'")
    if mapping is None:
        return None
    reader.check_keys(ROOT, mapping, KEYS, ROOT)
    version = mapping.get("version", VERSION)
    if version != VERSION or isinstance(version, bool):
        reader.add_problem(f"{ROOT}.version", f"is {reprlib.repr(version)}, known: {VERSION}")
    schedule = reader.read_union(f"{ROOT}.schedule", mapping.get("schedule", {}), SCHEDULE)
    solver = reader.read_union(f"{ROOT}.solver", mapping.get("solver", {}), SOLVER)
    guidance = reader.read_union(f"{ROOT}.guidance", mapping.get("guidance", {}), GUIDANCE)
    modifiers = _read_modifiers(reader, mapping.get("modifiers", []))
    retake = _read_retake(reader, mapping["retake"]) if "retake" in mapping else None
    if schedule is not None:
        _check_schedule(reader, schedule.type, schedule.settings)
    if solver is not None:
        _check_wavelet(reader, solver.type, modifiers)
    if reader.problems or schedule is None or solver is None or guidance is None:
        return None
    end_scale = guidance.settings.get("endScale", parameters.get("guidance_end_scale").default)
    return Recipe(
        schedule,
        solver,
        guidance.settings.get("startScale"),
        ScaleCurve(guidance.type, end_scale),
        tuple(MODIFIERS[modifier.type](**modifier.settings) for modifier in modifiers),
        retake,
    )


def _read_modifiers(reader: ObjectReader, value: object) -> list[Selection]:
    path = f"{ROOT}.modifiers"
    if not isinstance(value, list):
        reader.add_problem(path, f"is {reprlib.repr(value)}, it must be a list of objects")
        return []
    modifiers: list[Selection] = []
    for i, entry in enumerate(value):
        modifier = reader.read_union(f"{path}[{i}]", entry, MODIFIER)
        if modifier is not None and any(modifier.type == other.type for other in modifiers):
            reader.add_problem(f"{path}[{i}].type", f"is {modifier.type!r} again; each modifier can be given once")
        if modifier is not None:
            modifiers.append(modifier)
    return modifiers


def _read_retake(reader: ObjectReader, value: object) -> Retake | None:
    path = f"{ROOT}.retake"
    mapping = reader.read_mapping(path, value, "an object with the keys seed and variance")
    if mapping is None:
        return None
    reader.check_keys(path, mapping, tuple(RETAKE), "retake")
    settings = reader.read_fields(path, mapping, RETAKE)
    return Retake(**settings) if len(settings) == len(RETAKE) else None


def _check_schedule(reader: ObjectReader, name: str, settings: Mapping[str, Any]) -> None:
    path = f"{ROOT}.schedule"
    start, denoise = settings.get("start", 1.0), settings.get("denoise", 1.0)
    if start < 1 and denoise < 1:
        reader.add_problem(
            path, f"has start {start} and denoise {denoise}, which both shorten the run: leave one of them at 1"
        )
    options = [option for option in options_of(name) if option not in ("denoise", "sigmas")]
    # Whether the options fit together may depend on the shift; an inherited one is known only when the run builds it.
    if options and all(option in settings for option in options):
        try:
            get_schedule(name)(2, **{option: settings[option] for option in options})
        except ValueError as error:
            reader.add_problem(path, f"cannot be used: {error}")


def _check_wavelet(reader: ObjectReader, solver: str, modifiers: Sequence[Selection]) -> None:
    if SOLVERS[solver].stochastic and any(modifier.type == "wavelet" for modifier in modifiers):
        deterministic = ", ".join(name for name, kind in SOLVERS.items() if not kind.stochastic)
        reader.add_problem(
            f"{ROOT}.modifiers",
            f"has wavelet, which requires a solver without added noise; {solver} adds noise: remove wavelet or use one "
            f"of {deterministic}",
        )

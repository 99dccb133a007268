"""The recipe of a run: schedule, solver, guidance over the run, modifiers and retake noise in one JSON object.

It is the object ``modularScheduler`` of a request, and what a node takes as text. The tables in this file say which
settings each part has; their ranges and defaults are those of ``parameters``. Everything unknown or contradictory is
refused, all at once.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import parameters
from . import schedule as schedules
from .guidance import Guidance, ScaleCurve
from .json_settings import Choice, Part, Problem, Reader, Setting
from .modifiers import MODIFIERS, Modifier
from .scheduler_names import factor
from .solver import SOLVERS, Solver, make_solver

VERSION = 1
ROOT = "modularScheduler"


def _schedule_settings(name: str) -> dict[str, Setting]:
    options = schedules.options_of(name)
    if "sigmas" in options:
        return {"sigmas": Setting("custom_sigmas", required=True)}
    own = {"steps": Setting("steps", own=True)} | ({"shift": Setting("shift", own=True)} if "shift" in options else {})
    return own | {option: Setting(f"schedule_{option}") for option in options if option != "shift"}


SCHEDULE = Part("type", "schedule_type", {name: _schedule_settings(name) for name in schedules.SCHEDULES})
SOLVER = Part(
    "type",
    "solver_type",
    {name: {"eta": Setting("solver_eta")} if kind.stochastic else {} for name, kind in SOLVERS.items()},
)
_START, _END = {"startScale": Setting("guidance_scale", own=True)}, {"endScale": Setting("guidance_end_scale")}
GUIDANCE = Part("curve", "guidance_curve", {"constant": _START, "linear": _START | _END, "cosine": _START | _END})
MODIFIER = Part(
    "type",
    None,
    {name: {key: Setting(used) for key, used in kind.SETTINGS.items()} for name, kind in MODIFIERS.items()},
)
RETAKE = {"seed": Setting("retake_seed", required=True), "variance": Setting("retake_variance")}
KEYS = ("version", "schedule", "solver", "guidance", "modifiers", "retake")


class RecipeError(ValueError):
    """A recipe that cannot be followed; ``problems`` are all of them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(found.message for found in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Retake:
    """Start noise turned towards that of another seed, see ``noise.retake``."""

    seed: int
    variance: float


@dataclass(frozen=True)
class Recipe:
    """A recipe in which all is allowed and complete. start_scale None: the run's own guidance scale."""

    schedule: Choice
    solver: Choice
    start_scale: float | None
    curve: ScaleCurve
    modifiers: tuple[Modifier, ...]
    retake: Retake | None

    def sigmas(self, steps: int, shift: float) -> list[float]:
        """The levels of the schedule. steps and shift: the run's own, for a recipe that has none.

        Raises ValueError as ``schedule.build``.
        """
        given = {name: parameters.get(f"schedule_{name}").default for name in _SHAPE} | {"shift": shift, "sigmas": ()}
        given |= self.schedule.settings
        return schedules.build(self.schedule.type, given.pop("steps", steps), schedules.Options(**given))

    def make_solver(self, seeds: Sequence[int]) -> Solver:
        """The solver; a stochastic one draws the noise of item i from ``seeds[i]``."""
        return make_solver(self.solver.type, seeds, self.solver.settings.get("eta", 0.0))

    def guidance(self, own: Guidance) -> Guidance:
        """The run's own guidance with the scale and curve of the recipe."""
        scale = own.scale if self.start_scale is None else self.start_scale
        return replace(own, scale=scale, curve=self.curve)


_SHAPE = ("rho", "alpha", "beta", "threshold", "terminal", "start", "denoise")


def read(text: str) -> Recipe:
    """A recipe from text: a JSON object or a composite name. Empty text is the recipe of the official inference.

    Raises RecipeError.
    """
    if not text.strip().startswith(("{", "[", '"')):
        return parse(text.strip() or {})
    try:
        value = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise RecipeError([Problem(ROOT, f"{ROOT} is not valid JSON: {error}")]) from None
    return parse(value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"the key {reprlib.repr(twice)} stands twice in one object")
    return dict(pairs)


def parse(value: object) -> Recipe:
    """A recipe from an object as JSON gives it, or from a composite name such as "DPM++ 2M Karras".

    Raises RecipeError with every problem.
    """
    if isinstance(value, str):
        try:
            solver, schedule = factor(value)
        except ValueError as error:
            raise RecipeError([Problem(ROOT, f"{ROOT}: {error}")]) from None
        value = {"schedule": {"type": schedule}, "solver": {"type": solver}}
    reader = Reader()
    recipe = _recipe(reader, value)
    if recipe is None or reader.problems:
        raise RecipeError(reader.problems)
    return recipe


def dump(recipe: Recipe) -> dict[str, Any]:
    """The object of a recipe, complete but for what is the run's own; ``parse`` makes the same recipe of it."""
    curve: dict[str, Any] = {"curve": recipe.curve.shape}
    if recipe.start_scale is not None:
        curve["startScale"] = recipe.start_scale
    if recipe.curve.shape != "constant":
        curve["endScale"] = recipe.curve.end_scale
    names = {kind: name for name, kind in MODIFIERS.items()}
    made: dict[str, Any] = {
        "version": VERSION,
        "schedule": _dump_choice(recipe.schedule),
        "solver": _dump_choice(recipe.solver),
        "guidance": curve,
        "modifiers": [
            {"type": names[type(m)]} | {key: getattr(m, key) for key in m.SETTINGS} for m in recipe.modifiers
        ],
    }
    if recipe.retake is not None:
        made["retake"] = {"seed": recipe.retake.seed, "variance": recipe.retake.variance}
    return made


def _dump_choice(choice: Choice) -> dict[str, Any]:
    settings = {key: list(value) if isinstance(value, tuple) else value for key, value in choice.settings.items()}
    return {"type": choice.type} | settings


def _recipe(reader: Reader, value: object) -> Recipe | None:
    given = reader.mapping(ROOT, value, "an object or a composite name such as 'DPM++ 2M Karras'")
    if given is None:
        return None
    reader.known(ROOT, given, KEYS, ROOT)
    version = given.get("version", VERSION)
    if version != VERSION or isinstance(version, bool):
        reader.add(f"{ROOT}.version", f"is {reprlib.repr(version)}, known: {VERSION}")
    schedule = reader.part(f"{ROOT}.schedule", given.get("schedule", {}), SCHEDULE)
    solver = reader.part(f"{ROOT}.solver", given.get("solver", {}), SOLVER)
    guidance = reader.part(f"{ROOT}.guidance", given.get("guidance", {}), GUIDANCE)
    modifiers = _modifiers(reader, given.get("modifiers", []))
    retake = _retake(reader, given["retake"]) if "retake" in given else None
    if schedule is not None:
        _check_schedule(reader, schedule.type, schedule.settings)
    if solver is not None:
        _check_wavelet(reader, solver.type, modifiers)
    if reader.problems or schedule is None or solver is None or guidance is None:
        return None
    end = guidance.settings.get("endScale", parameters.get("guidance_end_scale").default)
    return Recipe(
        schedule,
        solver,
        guidance.settings.get("startScale"),
        ScaleCurve(guidance.type, end),
        tuple(MODIFIERS[choice.type](**choice.settings) for choice in modifiers),
        retake,
    )


def _modifiers(reader: Reader, value: object) -> list[Choice]:
    path = f"{ROOT}.modifiers"
    if not isinstance(value, list):
        reader.add(path, f"is {reprlib.repr(value)}, it must be a list of objects")
        return []
    choices: list[Choice] = []
    for i, entry in enumerate(value):
        choice = reader.part(f"{path}[{i}]", entry, MODIFIER)
        if choice is not None and any(choice.type == other.type for other in choices):
            reader.add(f"{path}[{i}].type", f"is {choice.type!r} again; each modifier can be given once")
        if choice is not None:
            choices.append(choice)
    return choices


def _retake(reader: Reader, value: object) -> Retake | None:
    path = f"{ROOT}.retake"
    given = reader.mapping(path, value, "an object with the keys seed and variance")
    if given is None:
        return None
    reader.known(path, given, tuple(RETAKE), "retake")
    found = reader.settings(path, given, RETAKE)
    return Retake(**found) if len(found) == len(RETAKE) else None


def _check_schedule(reader: Reader, name: str, settings: Mapping[str, Any]) -> None:
    path = f"{ROOT}.schedule"
    start, denoise = settings.get("start", 1.0), settings.get("denoise", 1.0)
    if start < 1 and denoise < 1:
        reader.add(path, f"has start {start} and denoise {denoise}, which both shorten the run: leave one of them at 1")
    shape = [option for option in schedules.options_of(name) if option not in ("denoise", "sigmas")]
    # What fits together depends on the shift; where that is the run's own, making the schedule will tell.
    if shape and all(option in settings for option in shape):
        try:
            schedules.schedule(name)(2, **{option: settings[option] for option in shape})
        except ValueError as error:
            reader.add(path, f"cannot be used: {error}")


def _check_wavelet(reader: Reader, solver: str, modifiers: Sequence[Choice]) -> None:
    if SOLVERS[solver].stochastic and any(choice.type == "wavelet" for choice in modifiers):
        others = ", ".join(name for name, kind in SOLVERS.items() if not kind.stochastic)
        reader.add(
            f"{ROOT}.modifiers",
            f"has wavelet, which is for solvers that add no noise; {solver} does: take it out or use one of {others}",
        )

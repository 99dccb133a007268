"""Writes the modular scheduler's page and schema from its tables: python docs/generate/make_scheduler_docs.py"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pages import DOCS, code, join, json_lines, table, write

from acestep_xl import parameters
from acestep_xl.sampler import recipe_reader, recipe_spec
from acestep_xl.sampler.json_settings import MAX_LEVELS, FieldSpec
from acestep_xl.sampler.modifiers import MODIFIERS
from acestep_xl.sampler.recipe_schema import LEVELS, paragraphs, schema, summary
from acestep_xl.sampler.schedule import SCHEDULES
from acestep_xl.sampler.scheduler_names import CURVES, SAMPLERS, STANDALONE
from acestep_xl.sampler.solver import SOLVERS, SolverKind

SCHEMA, PAGE = DOCS / "modular-scheduler.schema.json", DOCS / "modular-scheduler.md"
EXAMPLE: dict[str, Any] = {
    "version": 1,
    "schedule": {"type": "beta", "steps": 40, "shift": 3.0},
    "solver": {"type": "dpmpp_2m"},
    "guidance": {"curve": "cosine", "startScale": 9.0, "endScale": 3.0},
    "modifiers": [{"type": "norm_clamp"}, {"type": "velocity_ema", "factor": 0.2}],
    "retake": {"seed": 7, "variance": 0.3},
}
MISTAKES: dict[str, Any] = {
    "schedule": {"type": "custom", "sigmas": [1, 0.5, 0], "steps": 20},
    "solver": {"type": "heun", "eta": 0.5},
    "guidance": {"curve": "linear", "endScale": 99},
    "retake": {"variance": 0.3},
}


def page() -> str:
    """The page in Markdown."""
    parts = (_introduction, _names, _schedules, _solvers, _guidance, _modifier_section, _retake, _refusals)
    return join(section for part in parts for section in part())


def _introduction() -> Iterator[str]:
    yield "# The modular scheduler"
    yield "<!-- Written by docs/generate/make_scheduler_docs.py; a test compares. -->"
    yield (
        "One JSON object controls how a run denoises: `advancedFeatures.modularScheduler` of a request. Every part is "
        f"optional; the empty object is official inference. For programs, there is [a JSON Schema]({SCHEMA.name})."
    )
    yield code(json_lines(EXAMPLE))
    yield (
        f"`version` defaults to {recipe_spec.VERSION}, the only one. Settings have the defaults listed below; *the "
        "run's own* is the value in the request, or in the other nodes."
    )


def _names() -> Iterator[str]:
    yield "## Names"
    yield (
        "Instead of the object, you can give a name as hosted services do, such as `DPM++ 2M Karras`: a name from the "
        "first table, alone or followed by one from the second. Case does not matter. Names whose steps do not match "
        "one of these solvers exactly are refused."
    )
    alone = {name: solver for name, (solver, _) in STANDALONE.items()}
    yield table(("Name", "Solver"), ([f"`{name}`", f"`{solver}`"] for name, solver in SAMPLERS.items()))
    yield table(("Followed by", "Schedule"), ([f"`{name}`" * bool(name), f"`{it}`"] for name, it in CURVES.items()))
    yield " ".join(f"`{name}` alone is `{solver}`." for name, solver in alone.items())


def _schedules() -> Iterator[str]:
    yield "## schedule"
    yield table(
        ("`type`", "Levels", "Settings"),
        ([f"`{name}`", summary(SCHEDULES[name]), _keys(keys)] for name, keys in recipe_spec.SCHEDULE.variants.items()),
    )
    yield _settings_table(recipe_spec.SCHEDULE.variants.values())


def _solvers() -> Iterator[str]:
    yield "## solver"
    yield (
        "The order is the rate at which the error falls with the step size, for solvers that add noise at `eta` 0. "
        "The noise is drawn from the run's seeds."
    )
    yield table(
        ("`type`", "Order", "Evaluations per step", "Adds noise", "Settings", "Source"),
        (
            [f"`{name}`", *_solver_columns(SOLVERS[name]), _keys(keys), SOLVERS[name].source]
            for name, keys in recipe_spec.SOLVER.variants.items()
        ),
    )
    yield _settings_table(recipe_spec.SOLVER.variants.values())


def _solver_columns(solver: SolverKind) -> tuple[str, str, str]:
    return str(solver.order), str(solver.evaluations), "yes" if solver.stochastic else "no"


def _guidance() -> Iterator[str]:
    yield "## guidance"
    yield (
        "The guidance scale over progress, `1 - t`, within the interval in which guidance is on. `curve` is "
        "`constant`, `linear` or `cosine`; cosine starts and ends with zero slope. A step at scale 1 is unguided and "
        "costs half."
    )
    yield _settings_table(recipe_spec.GUIDANCE.variants.values())


def _modifier_section() -> Iterator[str]:
    yield "## modifiers"
    yield (
        "A list in which each modifier appears at most once. They act on the velocity in the order given, except "
        "`guidance_rescale`, which acts right after guidance, and `wavelet`, which acts on the latent after the step. "
        "Official inference has `norm_clamp` before `velocity_ema`. State carried between steps advances once per "
        "step, even if the solver evaluates the network several times."
    )
    for name, kind in MODIFIERS.items():
        yield f"### {name}"
        yield from paragraphs(kind)
        if kind.WARNING:
            yield f"**Warning:** {kind.WARNING}."
        yield _settings_table([recipe_spec.MODIFIER.variants[name]])


def _retake() -> Iterator[str]:
    yield "## retake"
    yield "A variation of the song: its initial noise is rotated towards that of another seed, which is required."
    yield _settings_table([recipe_spec.RETAKE])


def _refusals() -> Iterator[str]:
    yield "## What is refused"
    yield (
        "Unknown keys, values out of range and contradictory parts: `sigmas` with `steps` or `shift`; `eta` for a "
        "solver that adds no noise; `wavelet` with one that does; `endScale` with a constant curve; `start` and "
        "`denoise` both below 1; the same modifier twice; `variance` without `seed`. All problems are reported at "
        "once:"
    )
    yield code(json_lines(MISTAKES))
    try:
        recipe_reader.parse(MISTAKES)
    except recipe_reader.RecipeError as error:
        yield code("\n".join(problem.message for problem in error.problems), "text")


def _keys(keys: Iterable[str]) -> str:
    return ", ".join(f"`{key}`" for key in keys)


def _settings_table(variants: Iterable[Mapping[str, FieldSpec]]) -> str:
    settings = {key: setting for variant in variants for key, setting in variant.items()}
    rows = ([f"`{key}`", *_row(setting)] for key, setting in settings.items())
    return table(("Setting", "Default", "Range", "Meaning"), rows)


def _row(setting: FieldSpec) -> list[str]:
    if setting.parameter == "custom_sigmas":
        return ["required", f"0 to 1, two to {MAX_LEVELS}", LEVELS]
    parameter = parameters.get(setting.parameter)
    default = "required" if setting.required else "the run's own" if setting.inherited else f"`{parameter.default}`"
    allowed = _keys(parameter.choices) or f"{parameter.minimum} to {parameter.maximum}"
    return [default, allowed, parameter.help]


def files() -> dict[Path, str]:
    """Both files by their paths."""
    return {SCHEMA: json.dumps(schema(), indent=2) + "\n", PAGE: page()}


if __name__ == "__main__":
    write(files())

"""Writes the schema and the page of the modular scheduler from its tables: python docs/make_scheduler_docs.py"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from acestep_xl import parameters
from acestep_xl.sampler import recipe
from acestep_xl.sampler.json_settings import MOST_LEVELS, Setting
from acestep_xl.sampler.modifiers import MODIFIERS
from acestep_xl.sampler.recipe_schema import LEVELS, paragraphs, schema, summary
from acestep_xl.sampler.schedule import SCHEDULES
from acestep_xl.sampler.scheduler_names import ALONE, CURVES, SAMPLERS
from acestep_xl.sampler.solver import SOLVERS

DOCS = Path(__file__).parent
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
    return "\n\n".join(_wrapped(section) for part in parts for section in part()) + "\n"


def _wrapped(section: str) -> str:
    if section.startswith(("#", "|", "`" * 3)):
        return section
    return textwrap.fill(section, 120, break_long_words=False, break_on_hyphens=False)


def _introduction() -> Iterable[str]:
    yield "# The modular scheduler"
    yield "<!-- Written by docs/make_scheduler_docs.py; a test compares. -->"
    yield (
        "One JSON object says how a run denoises: `advancedFeatures.modularScheduler` of a request. Every part may be "
        f"left out; the empty object is the official inference. For programs: [the schema]({SCHEMA.name})."
    )
    yield f"```json\n{_json(EXAMPLE)}\n```"
    yield (
        f"`version` is {recipe.VERSION}; an object without it means that one. A setting that is left out has the "
        "default below; *the run's own* is the value of the request, or of the nodes beside."
    )


def _names() -> Iterable[str]:
    yield "## Names"
    yield (
        "In place of the object, a name as hosted services write it, such as `DPM++ 2M Karras`: one of the first "
        "table, alone or followed by one of the second. Case does not matter. Names whose steps are not exactly those "
        "of a solver here are refused."
    )
    alone = {name: solver for name, (solver, _) in ALONE.items()}
    yield _table(("Name", "Solver"), ([f"`{name}`", f"`{solver}`"] for name, solver in SAMPLERS.items()))
    yield _table(("Followed by", "Schedule"), ([f"`{name}`" * bool(name), f"`{it}`"] for name, it in CURVES.items()))
    yield " ".join(f"`{name}` alone is `{solver}`." for name, solver in alone.items())


def _schedules() -> Iterable[str]:
    yield "## schedule"
    yield _table(
        ("`type`", "Levels", "Settings"),
        ([f"`{name}`", summary(SCHEDULES[name]), _keys(keys)] for name, keys in recipe.SCHEDULE.variants.items()),
    )
    yield _settings_table(recipe.SCHEDULE.variants.values())


def _solvers() -> Iterable[str]:
    yield "## solver"
    yield (
        "The order is how fast the error falls with the step length, of a solver that adds noise at `eta` 0. The seeds "
        "of the noise are those of the run."
    )
    yield _table(
        ("`type`", "Order", "Evaluations per step", "Adds noise", "Settings", "Source"),
        (
            [
                f"`{name}`",
                str(kind.order),
                str(kind.evaluations),
                "yes" if kind.stochastic else "no",
                _keys(keys),
                source,
            ]
            for name, keys in recipe.SOLVER.variants.items()
            for kind, source in [(SOLVERS[name], SOLVERS[name].source)]
        ),
    )
    yield _settings_table(recipe.SOLVER.variants.values())


def _guidance() -> Iterable[str]:
    yield "## guidance"
    yield (
        "The guidance scale over progress, `1 - t`, inside the interval in which guidance is on. `curve` is "
        "`constant`, `linear` or `cosine`; cosine leaves its start and reaches its end gently. A step in which the "
        "scale is 1 is not guided and costs half."
    )
    yield _settings_table(recipe.GUIDANCE.variants.values())


def _modifier_section() -> Iterable[str]:
    yield "## modifiers"
    yield (
        "A list, each at most once. They act on the velocity in the order given, `guidance_rescale` right after "
        "guidance and `wavelet` on the latent after the step. The official inference has `norm_clamp` before "
        "`velocity_ema`. With a solver of several evaluations their memory moves on once per step."
    )
    for name, kind in MODIFIERS.items():
        yield f"### {name}"
        yield from paragraphs(kind)
        if kind.WARNING:
            yield f"**Warning:** {kind.WARNING}."
        yield _settings_table([recipe.MODIFIER.variants[name]])


def _retake() -> Iterable[str]:
    yield "## retake"
    yield "A variation of the song: its start noise turned towards that of another seed, which has to be given."
    yield _settings_table([recipe.RETAKE])


def _refusals() -> Iterable[str]:
    yield "## What is refused"
    yield (
        "Unknown keys, values out of range and parts that contradict each other: `sigmas` with `steps` or `shift`; "
        "`eta` for a solver that adds no noise; `wavelet` with one that does; `endScale` with a constant curve; "
        "`start` and `denoise` both below 1; a modifier twice; `variance` without `seed`. All problems are told at "
        "once:"
    )
    yield f"```json\n{_json(MISTAKES)}\n```"
    try:
        recipe.parse(MISTAKES)
    except recipe.RecipeError as error:
        yield "```text\n" + "\n".join(found.message for found in error.problems) + "\n```"


def _keys(keys: Iterable[str]) -> str:
    return ", ".join(f"`{key}`" for key in keys)


def _settings_table(variants: Iterable[Mapping[str, Setting]]) -> str:
    settings = {key: setting for variant in variants for key, setting in variant.items()}
    return _table(
        ("Setting", "Default", "Range", "Meaning"), ([f"`{key}`", *_row(setting)] for key, setting in settings.items())
    )


def _row(setting: Setting) -> list[str]:
    if setting.parameter == "custom_sigmas":
        return ["has to be given", f"0 to 1, two to {MOST_LEVELS}", LEVELS]
    parameter = parameters.get(setting.parameter)
    default = "has to be given" if setting.required else "the run's own" if setting.own else f"`{parameter.default}`"
    allowed = _keys(parameter.choices) or f"{parameter.minimum} to {parameter.maximum}"
    return [default, allowed, parameter.help]


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def _json(value: Any) -> str:
    inside = ",\n".join(f"  {json.dumps(key)}: {json.dumps(entry)}" for key, entry in value.items())
    return f"{{\n{inside}\n}}"


def files() -> dict[Path, str]:
    """What the two files hold."""
    return {SCHEMA: json.dumps(schema(), indent=2) + "\n", PAGE: page()}


def main() -> None:
    for path, text in files().items():
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)


if __name__ == "__main__":
    main()

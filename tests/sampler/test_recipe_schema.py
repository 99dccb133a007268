"""The published schema and page of the modular scheduler agree with the code."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from recipes import CAREFUL, JUNK, NOISY, OBJECTS, nearly_valid

from acestep_xl import parameters
from acestep_xl.sampler.modifiers import MODIFIERS, Wavelet
from acestep_xl.sampler.recipe import dump
from acestep_xl.sampler.recipe_reader import RecipeError, parse, read
from acestep_xl.sampler.recipe_spec import GUIDANCE, RETAKE
from acestep_xl.sampler.schedule import SCHEDULES
from acestep_xl.sampler.scheduler_names import NAMES
from acestep_xl.sampler.solver import SOLVERS

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA: dict[str, Any] = json.loads((DOCS / "modular-scheduler.schema.json").read_text("utf-8"))


def test_the_published_files_match_the_tables():
    for path, text in runpy.run_path(str(DOCS / "generate" / "make_scheduler_docs.py"))["files"]().items():
        assert path.read_text("utf-8") == text, f"run python docs/generate/make_scheduler_docs.py: {path.name} is stale"


def variants(part: str) -> dict[str, dict[str, Any]]:
    entries = SCHEMA["oneOf"][1]["properties"][part]
    entries = entries.get("items", entries)["oneOf"]
    return {next(p["const"] for p in entry["properties"].values() if "const" in p): entry for entry in entries}


SETTINGS = {
    ("schedule", "steps"): "steps",
    ("schedule", "shift"): "shift",
    ("schedule", "rho"): "schedule_rho",
    ("schedule", "alpha"): "schedule_alpha",
    ("schedule", "beta"): "schedule_beta",
    ("schedule", "threshold"): "schedule_threshold",
    ("schedule", "terminal"): "schedule_terminal",
    ("schedule", "start"): "schedule_start",
    ("schedule", "denoise"): "schedule_denoise",
    ("solver", "eta"): "solver_eta",
    ("guidance", "startScale"): "guidance_scale",
    ("guidance", "endScale"): "guidance_end_scale",
    ("modifiers", "threshold"): "norm_clamp_threshold",
    ("modifiers", "mode"): "wavelet_mode",
    ("modifiers", "low"): "wavelet_low",
    ("modifiers", "high"): "wavelet_high",
}
INHERITED = {"steps", "shift", "startScale"}


@pytest.mark.parametrize("part", ["schedule", "solver", "guidance", "modifiers"])
def test_every_range_and_default_in_the_schema_is_the_parameter_s(part):
    seen = set()
    for name, variant in variants(part).items():
        assert variant["additionalProperties"] is False
        for key, entry in variant["properties"].items():
            if "const" in entry or key == "sigmas":
                continue
            parameter_name = SETTINGS.get((part, key)) or {"velocity_ema": "velocity_ema_factor"}.get(name, name)
            parameter = parameters.get(parameter_name)
            assert entry.get("enum", []) == list(parameter.choices)
            assert (entry.get("minimum"), entry.get("maximum")) == (parameter.minimum, parameter.maximum)
            assert entry.get("type") == {"INT": "integer", "FLOAT": "number", "CHOICE": None}[parameter.kind]
            assert entry.get("default") == (None if key in INHERITED else parameter.default)
            assert entry["description"].startswith(parameter.help)
            seen.add((part, key))
    assert {setting for setting in SETTINGS if setting[0] == part} <= seen


def test_the_choices_match_the_tables():
    for part, parameter, table in (
        ("schedule", "schedule_type", SCHEDULES),
        ("solver", "solver_type", SOLVERS),
        ("guidance", "guidance_curve", GUIDANCE.variants),
        ("modifiers", None, MODIFIERS),
    ):
        assert list(variants(part)) == list(table)
        entry = parameters.get(parameter) if parameter else None
        assert entry is None or list(entry.choices) == list(table)
        default = [name for name, variant in variants(part).items() if "type" not in variant.get("required", ["curve"])]
        if part in ("schedule", "solver"):
            assert entry is not None and default == [entry.default]
    assert {name for name, kind in SOLVERS.items() if kind.stochastic} == NOISY
    assert {name for name, entry in variants("solver").items() if "eta" in entry["properties"]} == NOISY
    assert SCHEMA["oneOf"][1]["properties"]["retake"]["required"] == ["seed"] and list(RETAKE) == ["seed", "variance"]


def test_the_wavelet_warning_is_published():
    assert Wavelet.WARNING is not None
    assert Wavelet.WARNING in variants("modifiers")["wavelet"]["description"]
    assert Wavelet.WARNING in " ".join((DOCS / "modular-scheduler.md").read_text("utf-8").split())


def test_the_page_s_examples():
    example, mistakes = re.findall(r"```json\n(.*?)```", (DOCS / "modular-scheduler.md").read_text("utf-8"), re.DOTALL)
    assert dump(read(example))["retake"] == {"seed": 7, "variance": 0.3}
    with pytest.raises(RecipeError):
        read(mistakes)


def is_about_compatibility(message: str) -> bool:
    """Whether the message is about incompatible values, which a schema cannot express."""
    concerns_one_value = any(words in message for words in ("outside 0 to 1", "at least 2 are needed", "too large"))
    return "leave one of them at 1" in message or ("cannot be used" in message and not concerns_one_value)


def test_the_schema_is_valid():
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@given(st.one_of(OBJECTS, nearly_valid(), JUNK, st.sampled_from([*NAMES, "Euler b"])))
@CAREFUL
def test_the_schema_accepts_what_the_code_accepts(value):
    jsonschema = pytest.importorskip("jsonschema")
    try:
        value = json.loads(json.dumps(value, allow_nan=False))
    except ValueError:
        assume(False)
    try:
        parse(value)
        accepted = True
    except RecipeError as error:
        accepted = all(is_about_compatibility(problem.message) for problem in error.problems)
    assert jsonschema.Draft202012Validator(SCHEMA).is_valid(value) == accepted

"""The modular scheduler: strict parsing, dumping, and the published schema and page."""

from __future__ import annotations

import json
import math
import re
import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from acestep_xl import parameters
from acestep_xl.sampler.denoise import denoise
from acestep_xl.sampler.guidance import Guidance, ScaleCurve
from acestep_xl.sampler.modifiers import MODIFIERS, NormClamp, VelocityEma, Wavelet
from acestep_xl.sampler.noise import draw
from acestep_xl.sampler.recipe import dump
from acestep_xl.sampler.recipe_reader import RecipeError, parse, read
from acestep_xl.sampler.recipe_spec import GUIDANCE, MODIFIER, RETAKE, SCHEDULE, SOLVER
from acestep_xl.sampler.schedule import SCHEDULES, linear
from acestep_xl.sampler.scheduler_names import NAMES
from acestep_xl.sampler.solver import SOLVERS, get_solver

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA: dict[str, Any] = json.loads((DOCS / "modular-scheduler.schema.json").read_text("utf-8"))
BASE = Guidance("apg", 7.0, 0.0, 1.0, -0.75, 2.5, 0.0, 3.14 / 6, "standard")
NOISY = {"euler_ancestral", "sde", "dpmpp_2m_sde"}


def problems(value: object) -> dict[str, str]:
    with pytest.raises(RecipeError) as caught:
        parse(value)
    messages = {problem.path: problem.message for problem in caught.value.problems}
    assert len(messages) == len(caught.value.problems)
    for path, message in messages.items():
        assert message.startswith(path) and message in str(caught.value)
    return messages


# Meaning


@pytest.mark.parametrize("value", [{}, {"version": 1}, {"schedule": {}, "solver": {}, "guidance": {}, "modifiers": []}])
def test_the_empty_object_is_the_official_inference(value):
    recipe = parse(value)
    assert recipe.sigmas(50, 3.0) == linear(50, 3.0)
    assert (recipe.solver.type, dict(recipe.solver.settings)) == ("euler", {})
    assert recipe.guidance(BASE) == BASE
    assert recipe.modifiers == () and recipe.retake is None
    assert read("") == read(" \n") == read("{}") == read("Default") == recipe


def test_a_full_object():
    recipe = parse(
        {
            "version": 1,
            "schedule": {"type": "karras", "steps": 12, "rho": 5, "terminal": 0.01},
            "solver": {"type": "dpmpp_2m_sde", "eta": 0.5},
            "guidance": {"curve": "cosine", "startScale": 9, "endScale": 2.5},
            "modifiers": [{"type": "norm_clamp", "threshold": 1.5}, {"type": "velocity_ema"}],
            "retake": {"seed": 2**64 - 1, "variance": 0.25},
        }
    )
    sigmas = recipe.sigmas(50, 3.0)
    ramp = [(1 + i / 11 * (0.01 ** (1 / 5) - 1)) ** 5 for i in range(12)]
    assert sigmas == pytest.approx([*ramp, 0.0], abs=1e-12)
    assert recipe.guidance(BASE) == replace(BASE, scale=9.0, curve=ScaleCurve("cosine", 2.5))
    assert recipe.modifiers == (NormClamp(1.5), VelocityEma(parameters.get("velocity_ema_factor").default))
    assert recipe.retake is not None
    assert (recipe.retake.seed, recipe.retake.variance) == (2**64 - 1, 0.25)
    x = draw([1, 2], 6, 4)
    ends = [
        denoise(
            lambda x, t, unconditional: (torch.tanh(x), None),
            x,
            sigmas,
            guidance=replace(BASE, scale=1.0),
            solver=recipe.make_solver(seeds),
        )
        for seeds in ([1, 2], [1, 2], [1, 3])
    ]
    assert torch.equal(ends[0], ends[1]) and torch.equal(ends[0][0], ends[2][0])
    assert not torch.allclose(ends[0][1], ends[2][1])


def test_steps_and_shift_are_inherited_unless_given():
    assert parse({}).sigmas(4, 1.0) == linear(4, 1.0)
    assert parse({"schedule": {"steps": 6}}).sigmas(4, 1.0) == linear(6, 1.0)
    assert parse({"schedule": {"steps": 6, "shift": 2}}).sigmas(4, 1.0) == linear(6, 2.0)
    assert parse({"schedule": {"denoise": 0.5}}).sigmas(4, 1.0) == linear(8, 1.0)[4:]
    assert parse({"schedule": {"type": "custom", "sigmas": [1, 0.25, 0]}}).sigmas(4, 1.0) == [1, 0.25, 0]


@pytest.mark.parametrize("name", [name for name in SOLVERS if name not in NOISY])
def test_a_deterministic_solver_is_selected_by_name(name):
    assert parse({"solver": {"type": name}}).make_solver([1]) is get_solver(name)


@pytest.mark.parametrize(
    ("name", "solver_type", "schedule_type"),
    [
        ("DPM++ 2M Karras", "dpmpp_2m", "karras"),
        ("euler A", "euler_ancestral", "linear"),
        ("Heun", "heun", "linear"),
        ("unipc", "unipc", "linear"),
        ("  dpm++  2m SDE  exponential ", "dpmpp_2m_sde", "exponential"),
        ("DPM++ 3M Uniform Beta", "dpmpp_3m", "beta"),
        ("Euler Uniform", "euler", "linear"),
        ("FlowMatchEulerDiscreteScheduler", "euler", "linear"),
    ],
)
def test_composite_names(name, solver_type, schedule_type):
    expected = parse({"solver": {"type": solver_type}, "schedule": {"type": schedule_type}})
    assert parse(name) == read(name) == read(json.dumps(name)) == expected


def test_every_composite_name_is_valid():
    for name, (solver_type, schedule_type) in NAMES.items():
        assert solver_type in SOLVERS and schedule_type in SCHEDULES
        assert len(parse(name).sigmas(20, 3.0)) == 21


@pytest.mark.parametrize("name", ["DPM++ SDE", "Euler b", "Karras", "Default Karras", "LMS", "x" * 10_000, "Euler\x00"])
def test_unknown_names_are_rejected_with_the_known_ones(name):
    (message,) = problems(name).values()
    assert "DPM++ 2M SDE" in message and "Karras" in message and len(message) < 500


# Errors


def test_all_problems_are_reported_with_their_paths():
    messages = problems(
        {
            "version": 2,
            "sampler": "euler",
            "schedule": {"type": "custom", "sigmas": [1, 0.5, 0], "steps": 20, "shift": 3},
            "solver": {"type": "heun", "eta": 0.5},
            "guidance": {"curve": "constant", "startScale": 31, "endScale": 2},
            "modifiers": [{"type": "dcw"}, {"type": "wavelet", "mode": "both", "low": -0.1}, 7],
            "retake": {"variance": 0.3},
        }
    )
    assert set(messages) == {
        "modularScheduler.version",
        "modularScheduler.sampler",
        "modularScheduler.schedule.steps",
        "modularScheduler.schedule.shift",
        "modularScheduler.solver.eta",
        "modularScheduler.guidance.startScale",
        "modularScheduler.guidance.endScale",
        "modularScheduler.modifiers[0].type",
        "modularScheduler.modifiers[1].mode",
        "modularScheduler.modifiers[1].low",
        "modularScheduler.modifiers[2]",
        "modularScheduler.retake.seed",
    }
    assert messages["modularScheduler.sampler"].endswith(
        "allowed: version, schedule, solver, guidance, modifiers, retake"
    )
    assert "not a setting of heun, but of euler_ancestral, sde, dpmpp_2m_sde; allowed: type" in str(messages)
    assert "startScale is 31, allowed 1 to 30" in str(messages)
    assert "type is 'dcw', known: norm_clamp, velocity_ema, guidance_rescale, wavelet" in str(messages)
    assert "mode is 'both', known: low, high, double, pix" in str(messages)


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        ({"schedule": {"type": "linear", "rho": 7}}, "schedule.rho", "not a setting of linear, but of karras; allowed"),
        ({"schedule": {"sigmas": [1, 0]}}, "schedule.sigmas", "but of custom"),
        ({"schedule": {"type": "custom"}}, "schedule.sigmas", "is missing"),
        ({"schedule": {"type": "custom", "sigmas": [1, 0.5]}}, "schedule.sigmas", "the last level must be 0"),
        ({"schedule": {"type": "custom", "sigmas": [0.5, 0.7, 0]}}, "schedule.sigmas", "not below the level before"),
        ({"schedule": {"type": "custom", "sigmas": "1, 0"}}, "schedule.sigmas", "must be a list"),
        ({"schedule": {"type": "custom", "sigmas": [True, 0]}}, "schedule.sigmas", "must be a list"),
        ({"schedule": {"type": "custom", "sigmas": [10**400, 0]}}, "schedule.sigmas", "too large"),
        ({"schedule": {"start": 0.5, "denoise": 0.5}}, "schedule", "leave one of them at 1"),
        ({"schedule": {"type": "karras", "terminal": 0.1, "start": 0.05}}, "schedule", "below the start"),
        ({"schedule": {"type": "sgm_uniform", "terminal": 0.1, "start": 0.2, "shift": 9}}, "schedule", "before the sh"),
        ({"schedule": "karras"}, "schedule", "must be an object with the key type"),
        ({"schedule": {"type": ["linear"]}}, "schedule.type", "known: linear, sgm_uniform"),
        ({"schedule": {"steps": 12.5}}, "schedule.steps", "must be a whole number"),
        ({"schedule": {"steps": True}}, "schedule.steps", "a whole number from 1 to 300 is needed"),
        ({"schedule": {"steps": "12"}}, "schedule.steps", "a whole number from 1 to 300 is needed"),
        ({"schedule": {"shift": math.nan}}, "schedule.shift", "is nan, allowed 0.1 to 10"),
        ({"schedule": {"shift": 10**400}}, "schedule.shift", "allowed 0.1 to 10"),
        ({"solver": {"type": "euler", "eta": 0}}, "solver.eta", "not a setting of euler"),
        ({"solver": {"type": "sde", "eta": 1.01}}, "solver.eta", "allowed 0 to 1"),
        ({"guidance": {"endScale": 3}}, "guidance.endScale", "not a setting of constant, but of linear, cosine"),
        ({"modifiers": {"type": "wavelet"}}, "modifiers", "must be a list"),
        ({"modifiers": [{}]}, "modifiers[0].type", "is missing, known: norm_clamp"),
        ({"modifiers": [{"type": "norm_clamp"}] * 2}, "modifiers[1].type", "once"),
        (
            {"modifiers": [{"type": "wavelet"}], "solver": {"type": "sde"}},
            "modifiers",
            "sde adds noise: remove wavelet or",
        ),
        ({"retake": {"variance": 0.5}}, "retake.seed", "is missing"),
        ({"retake": {"seed": -1}}, "retake.seed", "allowed 0 to"),
        ({"retake": {"seed": 1, "seeds": 2}}, "retake.seeds", "not a setting of retake; allowed: seed, variance"),
        ({"retake": None}, "retake", "must be an object"),
        ({"version": True}, "version", "known: 1"),
        ({"version": "1"}, "version", "known: 1"),
        ({5: 1}, "5", "not a setting of modularScheduler"),
    ],
)
def test_invalid_settings_are_rejected(value, path, words):
    messages = problems(value)
    assert list(messages) == [f"modularScheduler.{path}"]
    assert words in messages[f"modularScheduler.{path}"]


@pytest.mark.parametrize("value", [None, 3, [], True, math.nan, b"Euler", {1, 2}])
def test_other_types_are_rejected(value):
    assert "must be an object or a composite name" in problems(value)["modularScheduler"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"solver": {"type": "heun"}', "not valid JSON"),
        ('{"solver": {"type": "heun"}, "solver": {}}', "'solver' occurs twice"),
        ('{"schedule": {"steps": 8, "steps": 9}}', "'steps' occurs twice"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "must be an object"),
        ('{"schedule": {"shift": NaN}}', "allowed 0.1 to 10"),
        ("8", "unknown scheduler '8'"),
    ],
)
def test_invalid_text_is_rejected(text, words):
    with pytest.raises(RecipeError, match=re.escape(words)):
        read(text)


# Any recipe


def value_of(parameter: str) -> st.SearchStrategy[Any]:
    entry = parameters.get(parameter)
    if entry.choices:
        return st.sampled_from(entry.choices)
    assert entry.minimum is not None and entry.maximum is not None
    if entry.kind == "INT":
        return st.integers(int(entry.minimum), int(entry.maximum))
    return st.floats(entry.minimum, entry.maximum)


LEVELS = st.lists(st.floats(0.001, 1), min_size=1, max_size=6, unique=True).map(lambda ts: [*sorted(ts)[::-1], 0.0])


def strategy(parameter: str) -> st.SearchStrategy[Any]:
    return LEVELS if parameter == "custom_sigmas" else value_of(parameter)


@st.composite
def objects_of(draw_, union) -> dict[str, Any]:
    name = draw_(st.sampled_from(list(union.variants)))
    required = {key: s for key, s in union.variants[name].items() if s.required}
    optional = {key: s for key, s in union.variants[name].items() if not s.required}
    fields = st.fixed_dictionaries(
        {k: strategy(s.parameter) for k, s in required.items()},
        optional={k: strategy(s.parameter) for k, s in optional.items()},
    )
    return {union.selector: name} | draw_(fields)


OBJECTS = st.fixed_dictionaries(
    {},
    optional={
        "version": st.just(1),
        "schedule": objects_of(SCHEDULE),
        "solver": objects_of(SOLVER),
        "guidance": objects_of(GUIDANCE),
        "modifiers": st.lists(objects_of(MODIFIER), max_size=3, unique_by=lambda entry: entry["type"]),
        "retake": st.fixed_dictionaries(
            {"seed": value_of("retake_seed")}, optional={"variance": value_of("retake_variance")}
        ),
    },
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["type", "linear"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
CAREFUL = settings(
    deadline=None,
    max_examples=80,
    suppress_health_check=[HealthCheck.too_slow],
)


def is_compatible(value: dict[str, Any]) -> bool:
    schedule = value.get("schedule", {})
    start, denoise_ = schedule.get("start", 1.0), schedule.get("denoise", 1.0)
    separated = schedule.get("terminal", 0.003) * 100 < start  # far enough apart for every shift
    types = {entry["type"] for entry in value.get("modifiers", [])}
    clash = "wavelet" in types and value.get("solver", {}).get("type") in NOISY
    return separated and not (start < 1 and denoise_ < 1) and not clash


@given(OBJECTS)
@CAREFUL
def test_valid_recipes_round_trip(value):
    assume(is_compatible(value))
    recipe = parse(value)
    dumped = dump(recipe)
    assert parse(dumped) == recipe == read(json.dumps(dumped)) == parse(json.loads(json.dumps(value)))
    assert dump(parse(dumped)) == dumped
    for key, entry in value.items():  # no given setting is lost or changed
        if key == "modifiers":
            assert all(a.items() <= b.items() for a, b in zip(entry, dumped[key], strict=True))
        else:
            assert entry == dumped[key] if key == "version" else entry.items() <= dumped[key].items()


@given(JUNK)
@CAREFUL
def test_junk_is_rejected_or_read_but_never_crashes(value):
    for attempt in (lambda: parse(value), lambda: read(json.dumps(value)), lambda: read(str(value))):
        try:
            assert parse(dump(attempt())) is not None
        except RecipeError as error:
            assert error.problems and all(problem.path in problem.message for problem in error.problems)


@st.composite
def nearly_valid(draw_) -> dict[str, Any]:
    """A valid object with one value replaced, added or removed."""
    value = json.loads(json.dumps(draw_(OBJECTS)))
    containers: list[Any] = [value, *(v for v in value.values() if isinstance(v, dict)), *value.get("modifiers", [])]
    container = draw_(st.sampled_from(containers))
    keys = [*container, "type", "eta", "steps", "sigmas", "endScale", "seed", "mode", "retake", "x"]
    key = draw_(st.sampled_from(keys))
    if draw_(st.booleans()):
        container[key] = draw_(JUNK | st.sampled_from(["sde", "wavelet", "custom", 0, 0.5, 1.0, 400]))
    else:
        container.pop(key, None)
    return value


@given(nearly_valid())
@CAREFUL
def test_nearly_valid_objects_never_crash(value):
    try:
        assert parse(dump(parse(value))) == parse(value)
    except RecipeError as error:
        assert error.problems


# The schema and the page


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


def concerns_compatibility(message: str) -> bool:
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
        accepted = all(concerns_compatibility(problem.message) for problem in error.problems)
    assert jsonschema.Draft202012Validator(SCHEMA).is_valid(value) == accepted

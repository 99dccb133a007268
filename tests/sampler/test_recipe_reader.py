"""Strict parsing of the modular scheduler: every problem is reported with its path, and nothing crashes."""

from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import given
from recipes import CAREFUL, JUNK, nearly_valid, problems

from acestep_xl.sampler.recipe import dump
from acestep_xl.sampler.recipe_reader import RecipeError, parse, read


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


@given(JUNK)
@CAREFUL
def test_junk_is_rejected_or_read_but_never_crashes(value):
    for attempt in (lambda: parse(value), lambda: read(json.dumps(value)), lambda: read(str(value))):
        try:
            assert parse(dump(attempt())) is not None
        except RecipeError as error:
            assert error.problems and all(problem.path in problem.message for problem in error.problems)


@given(nearly_valid())
@CAREFUL
def test_nearly_valid_objects_never_crash(value):
    try:
        assert parse(dump(parse(value))) == parse(value)
    except RecipeError as error:
        assert error.problems

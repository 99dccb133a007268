"""What a recipe of the modular scheduler means, and its dump."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from recipes import CAREFUL, NOISY, OBJECTS
from sampling import APG

from acestep_xl import parameters
from acestep_xl.sampler.denoise import denoise
from acestep_xl.sampler.guidance import ScaleCurve
from acestep_xl.sampler.modifiers import NormClamp, VelocityEma
from acestep_xl.sampler.noise import draw
from acestep_xl.sampler.recipe import dump
from acestep_xl.sampler.recipe_reader import parse, read
from acestep_xl.sampler.schedule import linear
from acestep_xl.sampler.solver import SOLVERS, get_solver


@pytest.mark.parametrize("value", [{}, {"version": 1}, {"schedule": {}, "solver": {}, "guidance": {}, "modifiers": []}])
def test_the_empty_object_is_the_official_inference(value):
    recipe = parse(value)
    assert recipe.sigmas(50, 3.0) == linear(50, 3.0)
    assert (recipe.solver.type, dict(recipe.solver.settings)) == ("euler", {})
    assert recipe.guidance(APG) == APG
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
    assert recipe.guidance(APG) == replace(APG, scale=9.0, curve=ScaleCurve("cosine", 2.5))
    assert recipe.modifiers == (NormClamp(1.5), VelocityEma(parameters.get("velocity_ema_factor").default))
    assert recipe.retake is not None
    assert (recipe.retake.seed, recipe.retake.variance) == (2**64 - 1, 0.25)
    x = draw([1, 2], 6, 4)
    ends = [
        denoise(
            lambda x, t, unconditional: (torch.tanh(x), None),
            x,
            sigmas,
            guidance=replace(APG, scale=1.0),
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

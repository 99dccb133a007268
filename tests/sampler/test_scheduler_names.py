"""Composite names of schedulers, such as DPM++ 2M Karras."""

from __future__ import annotations

import json

import pytest
from recipes import problems

from acestep_xl.sampler.recipe_reader import parse, read
from acestep_xl.sampler.schedule import SCHEDULES
from acestep_xl.sampler.scheduler_names import NAMES
from acestep_xl.sampler.solver import SOLVERS


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

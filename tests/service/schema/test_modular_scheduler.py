"""The modular scheduler as a parameter of a task."""

from __future__ import annotations

import math

from parameter_checks import NOT_OBJECTS, rejection
from task_requests import accepted, refused, the_error


def test_advanced_features():
    assert accepted({"advancedFeatures": {}}).value("advancedFeatures") == {}
    for value in NOT_OBJECTS:
        assert rejection("advancedFeatures", value).code == "invalidAdvancedFeatures"


def test_modular_scheduler():
    name = "advancedFeatures.modularScheduler"
    recipe = {"schedule": {"type": "beta", "steps": 40}, "solver": {"type": "dpmpp_2m"}, "modifiers": []}
    for value in ({}, recipe, {"schedule": {"type": "custom", "sigmas": [1, 0.5, 0]}}, "DPM++ 2M Karras"):
        assert accepted({name: value}).value(name) == value
    for value in (5, True, None, [], [{}], math.nan):
        assert rejection(name, value).code == "invalidModularScheduler"
    for value in ("", "Euler Turbo", "{}", "x" * 100_000):
        assert the_error({name: value}).parameter == name
    assert accepted().value(name) is None


def test_modular_scheduler_reports_all_its_problems():
    name = "advancedFeatures.modularScheduler"
    wrong = {
        "schedule": {"type": "linear", "steps": 301, "shift": "3"},
        "solver": {"type": "heun", "eta": 0.5},
        "modifiers": [{"type": "norm_clamp", "threshold": 99}, {"type": "other"}],
        "unknown": 1,
    }
    errors = {error.parameter: error for error in refused({name: wrong, "steps": 0})}
    assert set(errors) == {
        "steps",
        f"{name}.schedule.steps",
        f"{name}.schedule.shift",
        f"{name}.solver.eta",
        f"{name}.modifiers[0].threshold",
        f"{name}.modifiers[1].type",
        f"{name}.unknown",
    }
    for parameter, error in errors.items():
        assert error.message.startswith(str(parameter))
        assert error.code == ("invalidSteps" if parameter == "steps" else "invalidModularScheduler")


def test_modular_scheduler_is_bounded():
    name = "advancedFeatures.modularScheduler"
    levels = [1 - i / 301 for i in range(301)] + [0.0]
    assert accepted({f"{name}": {"schedule": {"type": "custom", "sigmas": [*levels[:300], 0.0]}}})
    error = the_error({name: {"schedule": {"type": "custom", "sigmas": levels}}})
    assert error.parameter == f"{name}.schedule.sigmas" and "302" in error.message
    for value in ({"modifiers": [0] * 100_000}, {f"key{i}": 0 for i in range(100_000)}):
        assert "the limit is 1000" in the_error({name: value}).message

"""The official schedule, the tables of the turbo checkpoints, and levels typed by users."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acestep_xl import parameters
from acestep_xl.sampler.schedule import SCHEDULES, check, get_schedule, linear, parse_sigmas
from acestep_xl.sampler.schedules.variance_exploding import karras

TURBO = {
    1.0: [1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0],
    2.0: [1, 14 / 15, 6 / 7, 10 / 13, 2 / 3, 6 / 11, 2 / 5, 2 / 9, 0],
    3.0: [1, 21 / 22, 9 / 10, 5 / 6, 3 / 4, 9 / 14, 1 / 2, 3 / 10, 0],
}


@pytest.mark.parametrize("shift", TURBO)
def test_turbo_tables(shift):
    assert linear(8, shift) == pytest.approx(TURBO[shift], abs=1e-15)


def test_the_shift_formula():
    t = 1 - 17 / 50
    assert linear(50, 3.0)[17] == pytest.approx(3 * t / (1 + 2 * t), rel=1e-15)
    assert linear(50, 1.0)[17] == pytest.approx(t, rel=1e-15)
    assert linear(1, 3.0) == [1.0, 0.0]


@given(st.integers(1, 1000), st.floats(0.1, 10.0))
def test_decreases_from_exactly_1_to_exactly_0(steps, shift):
    sigmas = linear(steps, shift)
    assert len(sigmas) == steps + 1
    assert sigmas[0] == 1 and sigmas[-1] == 0
    assert all(type(t) is float for t in sigmas)
    assert all(a > b for a, b in pairwise(sigmas))
    check(sigmas)


@given(st.integers(1, 300), st.floats(0.1, 10.0))
def test_the_shift_inverts(steps, shift):
    for i, t in enumerate(linear(steps, shift)):
        assert t / (shift + (1 - shift) * t) == pytest.approx(1 - i / steps, abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, -1.0, math.inf, math.nan])
def test_invalid_steps_and_shift_are_reported_together(shift):
    with pytest.raises(ValueError, match=rf"steps is 0.*shift is {shift}"):
        linear(0, shift)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1, 0.75, 0.5, 0", [1, 0.75, 0.5, 0]),
        ("1 .5\n0", [1, 0.5, 0]),
        (" 1,0.5,\t1e-3 , 0 ,", [1, 0.5, 0.001, 0]),
        ("0.6 0.3 0", [0.6, 0.3, 0]),
        ("1 0", [1, 0]),
    ],
)
def test_separators_and_notations(text, values):
    assert parse_sigmas(text) == values


def test_printed_levels_parse_back():
    sigmas = linear(50, 3.0)
    assert parse_sigmas(", ".join(map(repr, sigmas))) == sigmas


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("", ["0 given, at least 2"]),
        ("0", ["1 given, at least 2"]),
        ("1, x, 0", [r"position 2 \(x\): not a number"]),
        ("1, nan, 0", [r"position 2 \(nan\): not a number"]),
        ("1, 0.5, nan", [r"position 3 \(nan\): not a number"]),
        ("inf, 0", [r"position 1 \(inf\): outside 0 to 1"]),
        ("1.5, 0.5, 0", [r"position 1 \(1.5\): outside 0 to 1"]),
        ("1, 0.5, -0.5", [r"position 3 \(-0.5\): outside 0 to 1"]),
        ("1, 0.5, 0.5, 0", [r"position 3 \(0.5\): not below the level before it \(0.5\)"]),
        ("1, 0.5, 0.1", [r"position 3 \(0.1\): the last level must be 0"]),
        (
            "2, fast, 0.5, 0.7",
            [r"position 1 \(2\)", r"position 2 \(fast\)", r"position 4 \(0.7\): not below", r"position 4 .*last level"],
        ),
    ],
)
def test_every_problem_is_reported_with_its_position(text, problems):
    with pytest.raises(ValueError) as caught:
        parse_sigmas(text)
    for problem in problems:
        assert caught.match(problem)
    assert caught.match(r"1, 0\.75, 0\.5, 0$"), "an example is the remedy"


@given(st.lists(st.floats(0, 1), max_size=6))
def test_accepts_exactly_the_valid_lists(values):
    valid = len(values) > 1 and values[-1] == 0 and all(a > b for a, b in pairwise(values))
    text = " ".join(map(repr, values))
    if valid:
        assert parse_sigmas(text) == values
    else:
        with pytest.raises(ValueError):
            parse_sigmas(text)


def test_a_run_may_end_above_0_but_not_repeat_a_level():
    check([1.0, 0.5])
    with pytest.raises(ValueError, match=r"position 3 \(0.5\): not below"):
        check([1.0, 0.5, 0.5])


def test_the_lookup():
    assert get_schedule("karras") is karras
    with pytest.raises(ValueError, match=r"'karas'; known: linear, sgm_uniform, karras, .*custom"):
        get_schedule("karas")
    assert tuple(SCHEDULES) == parameters.get("schedule_type").choices


def test_defaults_and_range_limits_are_accepted():
    steps, shift = parameters.get("steps"), parameters.get("shift")
    for n in (steps.minimum, steps.default, steps.maximum):
        for s in (shift.minimum, shift.default, shift.maximum):
            check(linear(n, s))

"""Guidance scales that follow a curve over the interval."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from sampling import APG, CFG, field, tensors
from torch import Tensor

from acestep_xl import parameters
from acestep_xl.sampler.denoise import denoise
from acestep_xl.sampler.guidance import CURVES, Guidance, ScaleCurve
from acestep_xl.sampler.noise import draw
from acestep_xl.sampler.schedule import linear
from acestep_xl.sampler.solver import euler


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("constant", [7.0, 7.0, 7.0, 7.0, 7.0]),
        ("linear", [7.0, 6.0, 5.0, 4.0, 3.0]),
        ("cosine", [7.0, 5 + math.sqrt(2), 5.0, 5 - math.sqrt(2), 3.0]),
    ],
)
def test_scale_curves(shape, expected):
    curved = replace(APG, curve=ScaleCurve(shape, 3.0))
    assert [curved.scale_at(1 - p) for p in (0.0, 0.25, 0.5, 0.75, 1.0)] == pytest.approx(expected, rel=1e-12)
    # An interval reaches the same values at its quarters; outside it the nearer end's value applies.
    inside = replace(curved, start=0.2, end=0.6)
    scales = [inside.scale_at(1 - p) for p in (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 1.0)]
    assert scales == pytest.approx([expected[0], *expected, expected[-1]], rel=1e-12)


def test_a_constant_curve_is_the_default_to_the_bit():
    constant = replace(APG, scale=7.123)
    assert Guidance("apg", 7.123, 0.0, 1.0, -0.75, 2.5, 0.0, 3.14 / 6, "standard") == constant
    assert all(constant.scale_at(t / 50) == 7.123 for t in range(51))
    assert replace(constant, curve=ScaleCurve("constant", 30.0)).scale_at(0.3) == 7.123


@pytest.mark.parametrize("type_", ["apg", "cfg", "adg"])
def test_every_kind_of_guidance_follows_the_curve(type_):
    curved = replace(APG, type=type_, curve=ScaleCurve("linear", 2.0))
    cond, uncond, x = tensors(3)
    for t in (1.0, 0.6, 0.1):
        fixed = replace(APG, type=type_, scale=curved.scale_at(t))
        expected = fixed.begin().combine(cond, uncond, x, t)
        torch.testing.assert_close(curved.begin().combine(cond, uncond, x, t), expected, rtol=0, atol=1e-12)
    assert not torch.allclose(
        curved.begin().combine(cond, uncond, x, 0.1), replace(APG, type=type_).begin().combine(cond, uncond, x, 0.1)
    )


def test_a_step_at_scale_1_is_not_guided():
    requested: list[bool] = []

    def predictor(x: Tensor, t: float, *, unconditional: bool) -> tuple[Tensor, Tensor | None]:
        requested.append(unconditional)
        return field(x, t, unconditional=unconditional)

    falling = replace(CFG, end=0.5, curve=ScaleCurve("linear", 1.0))
    denoise(predictor, draw([1], 4, 2), linear(10, 1.0), guidance=falling, solver=euler)
    assert requested == [True] * 5 + [False] * 5  # at progress 0.5 the scale is 1
    requested.clear()
    rising = replace(CFG, scale=1.0, curve=ScaleCurve("cosine", 4.0))
    denoise(predictor, draw([1], 4, 2), linear(10, 1.0), guidance=rising, solver=euler)
    assert requested == [False] + [True] * 9


def test_a_curve_over_an_empty_interval_stays_at_its_start():
    assert replace(APG, start=0.3, end=0.3, curve=ScaleCurve("linear", 2.0)).scale_at(0.7) == 7.0


def test_curves_are_the_parameter_s_choices_and_are_validated():
    assert tuple(CURVES) == parameters.get("guidance_curve").choices
    for shape, curve in CURVES.items():
        assert curve(0.0) == 0 and (shape == "constant" or curve(1.0) == 1)
    with pytest.raises(ValueError, match=r"curve: shape is 'sine', known: constant.*; end_scale is 0\.5, allowed 1 to"):
        ScaleCurve("sine", 0.5)

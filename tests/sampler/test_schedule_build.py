"""Schedules by name with options, through the node, and as presets."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from acestep_xl import parameters
from acestep_xl.nodes.schedule import Schedule
from acestep_xl.sampler.guidance import GUIDANCE
from acestep_xl.sampler.presets import PRESETS
from acestep_xl.sampler.schedule import SCHEDULES, Options, build, check, custom, linear, options_of, truncate

OPTIONS = Options(
    shift=3.0,
    rho=7.0,
    alpha=0.6,
    beta=0.6,
    threshold=0.025,
    terminal=0.003,
    start=1.0,
    denoise=1.0,
    sigmas=(),
)
FORMULAS = [name for name in SCHEDULES if name != "custom"]


def test_the_options_of_each_schedule():
    assert {name: options_of(name) for name in SCHEDULES} == {
        "linear": ("shift", "start", "denoise"),
        "sgm_uniform": ("shift", "terminal", "start", "denoise"),
        "karras": ("rho", "terminal", "start", "denoise"),
        "exponential": ("terminal", "start", "denoise"),
        "beta": ("alpha", "beta", "shift", "start", "denoise"),
        "linear_quadratic": ("threshold", "start", "denoise"),
        "kl_optimal": ("terminal", "start", "denoise"),
        "log_snr_uniform": ("terminal", "start", "denoise"),
        "custom": ("sigmas",),
    }


CHANGED = {"shift": 2.0, "rho": 5.0, "alpha": 0.8, "beta": 0.9, "threshold": 0.2, "terminal": 0.01, "start": 0.7}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("option", CHANGED)
def test_an_option_changes_only_the_schedules_that_read_it(name, option):
    changed = build(name, 9, replace(OPTIONS, **{option: CHANGED[option]})) != build(name, 9, OPTIONS)
    assert changed == (option in options_of(name))


@pytest.mark.parametrize("name", FORMULAS)
@settings(deadline=None)
@given(
    steps=st.integers(1, 300),
    begin=st.sampled_from([("start", 1.0), ("start", 0.9), ("start", 0.35), ("denoise", 0.9), ("denoise", 0.25)]),
    shift=st.floats(0.1, 10.0),
    rho=st.floats(1.0, 100.0),
    alpha=st.floats(0.5, 50.0),
    terminal=st.floats(0.0001, 0.03),
    threshold=st.floats(0.001, 0.45),
)
def test_build_respects_steps_start_and_denoise(name, steps, begin, shift, rho, alpha, terminal, threshold):
    options = replace(OPTIONS, shift=shift, rho=rho, alpha=alpha, terminal=terminal, threshold=threshold)
    sigmas = build(name, steps, replace(options, **dict([begin])))
    check(sigmas)
    assert len(sigmas) == steps + 1 and sigmas[-1] == 0
    if begin[0] == "start":
        assert sigmas[0] == begin[1]
    else:
        assert (sigmas[0] < 1) == (int(steps / begin[1]) > steps)


@settings(deadline=None)
@given(st.integers(1, 40), st.floats(0.01, 50.0), st.floats(0.01, 50.0))
def test_levels_equal_in_float32_are_rejected(steps, alpha, beta):
    try:
        sigmas = build("beta", steps, replace(OPTIONS, alpha=alpha, beta=beta))
    except ValueError as error:
        assert "closer together than float32 can represent" in str(error) and alpha < 0.5
    else:
        check(torch.tensor(sigmas).tolist())


def test_levels_that_coincide_at_the_noisy_end_stay_distinct():
    levels = build("beta", 20, replace(OPTIONS, beta=0.05))
    check(torch.tensor(levels).tolist())
    assert levels[1] == 1 - 2**-24


def test_levels_equal_in_float32_are_reported_by_position():
    with pytest.raises(ValueError, match=r"beta has levels closer .* position 9 \(0.0 after 0.0\): use fewer steps or"):
        build("beta", 20, replace(OPTIONS, alpha=0.01))
    with pytest.raises(ValueError, match=r"custom has levels closer .* position 2 \(0\.99999999 after 1\.0\)"):
        build("custom", 1, replace(OPTIONS, sigmas=(1.0, 0.99999999, 0.0)))


def test_options_out_of_range_are_reported_together():
    invalid = {"shift": 0.0, "rho": math.nan, "alpha": 99.0, "threshold": 0.5, "terminal": -1.0}
    with pytest.raises(ValueError) as caught:
        replace(OPTIONS, **invalid)
    for option, value in invalid.items():
        assert caught.match(f"{option} is {value}, allowed ")
    with pytest.raises(ValueError, match=r"start 0\.5 and denoise 0\.5 both shorten the run"):
        replace(OPTIONS, start=0.5, denoise=0.5)


def test_a_list_requires_the_custom_schedule():
    levels = (0.8, 0.3, 0.0)
    assert build("custom", 50, replace(OPTIONS, sigmas=levels)) == list(levels)
    with pytest.raises(
        ValueError, match="a list of levels is given and the schedule is karras: choose custom or clear"
    ):
        build("karras", 2, replace(OPTIONS, sigmas=levels))
    for option in ("start", "denoise"):
        with pytest.raises(ValueError, match="custom levels begin where their list begins"):
            build("custom", 2, replace(OPTIONS, sigmas=levels, **{option: 0.9}))
    with pytest.raises(
        ValueError, match=r"position 2 \(0.5\): not below.*position 3 \(0.1\): the last level must be 0"
    ):
        custom(sigmas=(0.5, 0.5, 0.1))
    with pytest.raises(ValueError, match=r"custom sigmas: 0 given.*Write levels"):
        build("custom", 2, OPTIONS)


@given(st.integers(1, 300), st.floats(0.01, 1.0))
def test_truncation_is_the_tail_of_a_longer_schedule(steps, denoise):
    totals = []

    def make(total):
        totals.append(total)
        return linear(total, 3.0)

    sigmas = truncate(make, steps, denoise=denoise)
    assert totals == [int(steps / denoise)]
    assert sigmas == linear(totals[0], 3.0)[totals[0] - steps :]
    assert len(sigmas) == steps + 1


def test_truncation_of_evenly_spaced_levels_begins_at_denoise():
    assert truncate(lambda n: linear(n, 1.0), 4, denoise=0.5) == [0.5, 0.375, 0.25, 0.125, 0]
    assert build("linear", 4, replace(OPTIONS, shift=1.0, denoise=0.5)) == [0.5, 0.375, 0.25, 0.125, 0]
    for denoise in (0.0, -0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=f"denoise is {denoise}"):
            truncate(lambda n: linear(n, 1.0), 4, denoise=denoise)


def test_the_node_still_runs_old_graphs():
    declared = Schedule.INPUT_TYPES()
    assert list(declared["required"]) == ["steps", "shift", "custom_sigmas"]
    (sigmas,) = Schedule().make(steps=50, shift=3.0, custom_sigmas="")
    assert sigmas.dtype == torch.float32 and torch.equal(sigmas, torch.tensor(linear(50, 3.0)))
    (sigmas,) = Schedule().make(steps=50, shift=3.0, custom_sigmas="1, 0.5, 0")
    assert sigmas.tolist() == [1, 0.5, 0]


def test_the_node_s_inputs_match_its_method():
    declared = Schedule.INPUT_TYPES()
    inputs = declared["required"] | declared["optional"]
    method = inspect.signature(Schedule.make).parameters
    assert ["self", *inputs] == list(method)
    for name, (_, options) in declared["optional"].items():
        assert method[name].default == options["default"]
        assert options.get("advanced", False) == (name != "schedule")


def test_every_input_of_the_node_is_used():
    declared = Schedule.INPUT_TYPES()["optional"]
    assert declared["schedule"][0] == list(SCHEDULES)
    for name in FORMULAS:
        for option in (*options_of(name), "shift"):
            value = {**CHANGED, "denoise": 0.4}[option]
            arguments = {"shift": 3.0, **{option: value}}
            (sigmas,) = Schedule().make(steps=9, custom_sigmas="", schedule=name, **arguments)
            assert torch.equal(sigmas, torch.tensor(build(name, 9, replace(OPTIONS, **{option: value})))), (
                name,
                option,
            )
    (sigmas,) = Schedule().make(steps=9, shift=3.0, custom_sigmas="1 .2 0", schedule="custom")
    assert torch.equal(sigmas, torch.tensor([1, 0.2, 0]))
    with pytest.raises(ValueError, match="the schedule is karras: choose custom or clear the list"):
        Schedule().make(steps=9, shift=3.0, custom_sigmas="1 .2 0", schedule="karras")


def test_presets():
    assert set(PRESETS) == {"sft", "base", "turbo"}
    preset, table = PRESETS["turbo"], [1, 21 / 22, 9 / 10, 5 / 6, 3 / 4, 9 / 14, 1 / 2, 3 / 10, 0]
    assert linear(preset.steps, preset.shift) == pytest.approx(table, abs=1e-15) and preset.guidance_scale == 1
    for preset in PRESETS.values():
        assert preset.guidance_type in GUIDANCE and preset.source
        for name in ("steps", "shift", "guidance_scale"):
            parameter = parameters.get(name)
            assert parameter.minimum <= getattr(preset, name) <= parameter.maximum
    sft = PRESETS["sft"]
    assert (sft.steps, sft.shift, sft.guidance_scale) == (50, 3.0, 7.0)
    defaults = {name: getattr(sft, name) for name in ("steps", "shift", "guidance_type", "guidance_scale")}
    assert defaults == {name: parameters.get(name).default for name in defaults}

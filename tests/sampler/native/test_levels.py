"""Noise levels, schedulers, edits of sigmas and initial noise of native graphs."""

from __future__ import annotations

import re

import pytest
import torch

from acestep_xl.sampler.native import curves, sigmas
from acestep_xl.sampler.native.levels import FlowLevels, from_half_log_snr, half_log_snr
from acestep_xl.sampler.native.noise import prepare_noise
from acestep_xl.sampler.native.sampler_table import SAMPLERS
from acestep_xl.sampler.native.schedulers import (
    SCHEDULERS,
    WITHOUT_PENULTIMATE,
    basic_scheduler,
    beta_sampling,
    calculate_sigmas,
    ksampler_sigmas,
)

LEVELS = FlowLevels()


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0, 7.3])
def test_the_table_is_shifted_time(shift):
    u = torch.arange(1, 1001, dtype=torch.float64) / 1000
    torch.testing.assert_close(FlowLevels(shift).table().double(), shift * u / (1 + (shift - 1) * u), rtol=1e-6, atol=0)


def test_percent_is_elapsed_time_before_the_shift():
    assert [LEVELS.percent_to_sigma(p) for p in (-1, 0, 0.5, 1, 2)] == [1.0, 1.0, 0.75, 0.0, 0.0]


def test_the_log_signal_to_noise_ratio_is_inverted():
    sigma = torch.tensor([0.01, 0.3, 0.9])
    torch.testing.assert_close(from_half_log_snr(half_log_snr(sigma)), sigma)


@pytest.mark.parametrize("shift", [0.0, -1.0, float("inf"), float("nan")])
def test_levels_outside_the_formula_are_refused(shift):
    with pytest.raises(ValueError, match="must be above 0 and finite"):
        FlowLevels(shift)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("steps", [2, 3, 8, 50])
def test_schedulers_fall_from_noise_to_0(name, steps):
    levels = calculate_sigmas(LEVELS, name, steps)
    assert levels[0] <= 1 + 1e-6 and levels[-1] == 0 and bool((levels.diff() < 0).all())
    if name not in ("ddim_uniform", "beta"):
        assert len(levels) == steps + 1


@pytest.mark.parametrize("name", SCHEDULERS)
def test_denoise_runs_the_end_of_a_longer_schedule(name):
    assert torch.equal(basic_scheduler(LEVELS, name, 6, 0.5), calculate_sigmas(LEVELS, name, 12)[-7:])
    assert torch.equal(ksampler_sigmas(LEVELS, name, "euler", 6, 0.5), calculate_sigmas(LEVELS, name, 12)[-7:])
    assert torch.equal(ksampler_sigmas(LEVELS, name, "euler", 6, 0.99995), calculate_sigmas(LEVELS, name, 6))
    assert len(basic_scheduler(LEVELS, name, 6, 0.0)) == len(ksampler_sigmas(LEVELS, name, "euler", 6, 0.0)) == 0


@pytest.mark.parametrize("sampler", sorted(WITHOUT_PENULTIMATE))
def test_samplers_that_evaluate_between_levels_lose_the_one_before_0(sampler):
    longer = calculate_sigmas(LEVELS, "simple", 9)
    assert torch.equal(ksampler_sigmas(LEVELS, "simple", sampler, 8, 1.0), torch.cat([longer[:-2], longer[-1:]]))
    assert WITHOUT_PENULTIMATE <= SAMPLERS.keys()


def test_unknown_schedulers_and_impossible_settings_are_refused():
    with pytest.raises(ValueError, match=r"unknown scheduler 'cosine'; known: simple, sgm_uniform"):
        calculate_sigmas(LEVELS, "cosine", 5)
    with pytest.raises(ValueError, match="steps is 0"):
        calculate_sigmas(LEVELS, "simple", 0)
    with pytest.raises(ValueError, match="use at least 2 steps"):
        calculate_sigmas(LEVELS, "kl_optimal", 1)
    with pytest.raises(ValueError, match=r"alpha is 0\.0"):
        beta_sampling(LEVELS, 5, 0.0, 1.0)
    with pytest.raises(ValueError, match="steps is 0, it must be at least 1; sigma_min is 0"):
        curves.exponential(0, 0.0, 1.0)


def test_karras_and_exponential_are_geometric_at_their_limits():
    torch.testing.assert_close(curves.karras(5, 0.1, 0.9, 1.0)[:-1], torch.linspace(0.9, 0.1, 5))
    ratios = curves.exponential(5, 0.1, 0.9)[1:5] / curves.exponential(5, 0.1, 0.9)[:4]
    torch.testing.assert_close(ratios, ratios[:1].expand(4))
    torch.testing.assert_close(curves.polyexponential(5, 0.1, 0.9), curves.exponential(5, 0.1, 0.9))


def test_parts_of_sigmas_share_the_level_where_they_meet():
    levels = torch.linspace(1, 0, 11)
    high, low = sigmas.split(levels, 4)
    assert torch.equal(high, levels[:5]) and torch.equal(low, levels[4:])
    high, low = sigmas.split_denoise(levels, 0.3)
    assert torch.equal(high, levels[:8]) and torch.equal(low, levels[7:])
    assert len(sigmas.split_denoise(levels, 0.0)[0]) == 0


def test_edits_leave_the_sigmas_they_are_given():
    levels = torch.linspace(1, 0, 5)
    flipped = sigmas.flip(levels)
    assert float(flipped[0]) == pytest.approx(1e-4) and flipped[-1] == 1
    assert sigmas.set_first(levels, 0.9)[0] == pytest.approx(0.9)
    sigmas.split(levels, 2)[0].zero_()
    assert torch.equal(levels, torch.linspace(1, 0, 5))
    with pytest.raises(ValueError, match="there is no first level"):
        sigmas.set_first(torch.zeros(0), 1.0)


@pytest.mark.parametrize(
    ("text", "expected"), [("1, 0.5", [1, 0.5]), (".9 ; -1\n2", [0.9, -1, 2]), ("", []), ("from 1 to 0", [1, 0])]
)
def test_sigmas_are_read_from_any_text(text, expected):
    torch.testing.assert_close(sigmas.parse(text), torch.tensor(expected, dtype=torch.float32))


def test_extended_steps_are_divided_between_two_levels():
    extended = sigmas.extend(torch.tensor([1.0, 0.6, 0.2, 0.0]), 2, 0.7, 0.3, "linear")
    torch.testing.assert_close(extended, torch.tensor([1.0, 0.6, 0.4, 0.2, 0.0]))
    with pytest.raises(ValueError, match="unknown spacing 'cubic'; known: linear, cosine, sine"):
        sigmas.extend(extended, 2, 1.0, 0.0, "cubic")


def test_an_item_taken_from_a_batch_keeps_its_noise():
    latent = torch.zeros(3, 64, 5)
    batch = prepare_noise(latent, 7, [0, 1, 2])
    assert torch.equal(prepare_noise(latent[:2], 7, [2, 2]), batch[[2, 2]])
    # 64 * 5 numbers per item are whole blocks of the generator, so the batch may be drawn at once.
    assert torch.equal(prepare_noise(latent, 7), batch)


def test_noise_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    expected = torch.randn(4)
    torch.manual_seed(3)
    prepare_noise(torch.zeros(1, 4, 4), 9)
    assert torch.equal(torch.randn(4), expected)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds_outside_64_bits_are_refused(seed):
    with pytest.raises(ValueError, match="allowed 0 to 18446744073709551615"):
        prepare_noise(torch.zeros(1, 4, 4), seed)


@pytest.mark.parametrize("places", [[0], [0, -1]])
def test_places_that_do_not_fit_the_batch_are_refused(places):
    with pytest.raises(ValueError, match=re.escape(f"batch_index is {places} for a batch of 2")):
        prepare_noise(torch.zeros(2, 4, 4), 1, places)

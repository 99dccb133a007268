"""Initial noise: one seed, one song."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from acestep_xl import parameters
from acestep_xl.sampler.noise import draw, mix, retake, seeds_for

LAST = 2**64 - 1
SEEDS = st.one_of(st.integers(0, 10), st.integers(2**32 - 3, 2**32 + 3), st.integers(0, LAST))


def test_golden_noise_is_seed_seven(golden):
    expected = load_file(golden.folder / "inputs.safetensors")["noise.seed7"]
    # A CPU's logarithm and cosine (Box-Muller) differ in their last bits, of numbers up to 5.8: four units are 2e-6.
    torch.testing.assert_close(draw([7], 101, 64), expected, atol=2e-6, rtol=0)


def test_shape_and_dtype():
    noise = draw([1, 2, 3], 10, 64)
    assert noise.shape == (3, 10, 64) and noise.dtype == torch.float32 and noise.device.type == "cpu"


@given(st.lists(SEEDS, min_size=1, max_size=4))
@settings(deadline=None)
def test_items_equal_single_draws(seeds):
    together = draw(seeds, 7, 16)
    for item, seed in enumerate(seeds):
        assert torch.equal(together[item : item + 1], draw([seed], 7, 16))


def test_the_global_generator_is_neither_used_nor_advanced():
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = draw([5], 8, 64)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(draw([5], 8, 64), first)


@given(SEEDS, SEEDS)
@settings(deadline=None)
def test_different_seeds_differ(a, b):
    assert torch.equal(draw([a], 2, 64), draw([b], 2, 64)) == (a == b)


def test_seeds_with_equal_low_bits_give_unrelated_noise():
    # PyTorch's generator alone would give the same noise for all of them.
    seeds = [7, 7 + 2**32, 7 + 2**33, 7 + 2**63, 7 + 2**53]
    noise = draw(seeds, 500, 64).flatten(1)
    correlation = torch.corrcoef(noise) - torch.eye(len(seeds))
    assert correlation.abs().max() < 5 / math.sqrt(noise.shape[1])


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1, 2**32, 2**53 - 1, LAST])
def test_standard_normal(seed):
    noise = draw([seed], 2000, 64).double().flatten()
    n = noise.numel()
    assert abs(noise.mean()) < 5 / math.sqrt(n)
    assert abs(noise.var() - 1) < 5 * math.sqrt(2 / n)
    assert abs((noise**4).mean() - 3) < 5 * math.sqrt(96 / n)


@pytest.mark.parametrize("seed", [7, 2**40 + 7])
def test_a_longer_song_begins_with_the_noise_of_a_shorter_one(seed):
    assert torch.equal(draw([seed], 750, 64)[:, :101], draw([seed], 101, 64))


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seeds_out_of_range_are_rejected(seed):
    with pytest.raises(ValueError, match=f"0 to {LAST}; item 1: {seed}"):
        draw([3, seed], 2, 2)


def test_the_range_is_the_seed_parameter_s():
    assert (parameters.get("seed").minimum, parameters.get("seed").maximum) == (0, LAST)


def test_seeds_of_a_batch():
    assert seeds_for(5, 3) == [5, 6, 7]
    assert seeds_for(LAST, 3) == [LAST, 0, 1]


def test_retake():
    one, other = draw([1], 2000, 64), draw([2], 2000, 64)
    assert torch.equal(retake(one, other, 0.0), one)
    torch.testing.assert_close(retake(one, other, 1.0), other, rtol=0, atol=1e-6)
    torch.testing.assert_close(retake(one, other, 0.5), (one + other) / math.sqrt(2))
    third = retake(one, other, 1 / 3)
    torch.testing.assert_close(third, math.sqrt(3) / 2 * one + other / 2)
    assert abs(third.var() - 1) < 0.02


@pytest.mark.parametrize("variance", [-0.1, 1.1, math.nan])
def test_retake_rejects_a_variance_out_of_range(variance):
    with pytest.raises(ValueError, match=f"variance is {variance}"):
        retake(draw([1], 2, 2), draw([2], 2, 2), variance)


def test_mix_is_exact_at_both_ends():
    noise, source = draw([1], 9, 8), draw([2], 9, 8)
    assert torch.equal(mix(noise, source, 1.0), noise)
    assert torch.equal(mix(noise, source, 0.0), source)
    torch.testing.assert_close(mix(noise, source, 0.25), source + 0.25 * (noise - source))

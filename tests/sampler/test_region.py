"""Regions: the source stays outside, the inside is free, and the borders fade."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import APG
from torch import Tensor

from acestep_xl.sampler.denoise import Step, denoise
from acestep_xl.sampler.noise import draw
from acestep_xl.sampler.region import Region, ramps
from acestep_xl.sampler.schedule import linear
from acestep_xl.sampler.solver import euler

FRAMES = 40


def mixing(x: Tensor, t: float, *, unconditional: bool) -> tuple[Tensor, Tensor | None]:
    """A velocity in which every frame depends on all others, as in the network."""
    field = torch.tanh(x + x.mean(dim=1, keepdim=True)) - t
    return field, field * 0.5 if unconditional else None


def mask_of(*spans: tuple[int, int], frames: int = FRAMES) -> Tensor:
    mask = torch.zeros(1, frames, 1)
    for first, last in spans:
        mask[:, first:last] = 1
    return mask


def make_region(mask: Tensor, injection: float = 1.0, blend_frames: int = 0) -> Region:
    noise, source = draw([1, 2], mask.shape[1], 4).chunk(2)
    return Region(source, mask, noise, injection, blend_frames)


def run(region: Region, steps: int = 8, **options) -> Tensor:
    return denoise(mixing, region.noise, linear(steps, 3.0), guidance=APG, solver=euler, region=region, **options)


SPANS = st.lists(
    st.tuples(st.integers(0, FRAMES - 1), st.integers(1, FRAMES)).map(lambda s: (min(s), max(s[0] + 1, s[1]))),
    max_size=3,
)


@given(SPANS, st.floats(0, 1), st.integers(1, 12), st.integers(0, 9))
@settings(deadline=None, max_examples=40)
def test_outside_region_and_fade_is_the_source_itself(spans, injection, steps, blend):
    region = make_region(mask_of(*spans), injection, blend)
    end = run(region, steps)
    touched = {f for a, b in spans for f in range(a - blend, b + blend)}
    untouched = [f for f in range(FRAMES) if f not in touched]
    assert torch.equal(end[:, untouched], region.source[:, untouched])


def test_inside_is_the_run_without_a_region():
    # Without injection only the final result is blended.
    region = make_region(mask_of((10, 20)), injection=0.0)
    free = denoise(mixing, region.noise, linear(8, 3.0), guidance=APG, solver=euler)
    assert torch.equal(run(region)[:, 10:20], free[:, 10:20])


def test_injection_changes_the_inside():
    assert not torch.allclose(
        run(make_region(mask_of((10, 20)), 1.0))[:, 10:20], run(make_region(mask_of((10, 20)), 0.0))[:, 10:20]
    )


@pytest.mark.parametrize(
    ("injection", "steps", "injected"),
    [(0.0, 8, 0), (0.5, 8, 4), (1.0, 8, 8), (0.3, 8, 2), (0.35, 8, 3), (0.5, 1, 0), (1.0, 1, 1)],
)
def test_the_source_is_restored_after_the_first_steps(injection, steps, injected):
    region, seen = make_region(mask_of((10, 20)), injection), list[Step]()
    run(region, steps, on_step=seen.append)
    for step in seen:
        restored = step.t_next * region.noise + (1 - step.t_next) * region.source
        outside = torch.cat([step.x[:, :10] - restored[:, :10], step.x[:, 20:] - restored[:, 20:]], dim=1)
        assert torch.equal(outside, torch.zeros_like(outside)) == (step.index < injected)
    assert len(seen) == steps


def test_ramp_of_one_region():
    weights = ramps(mask_of((4, 6), frames=12), 3)[0, :, 0]
    expected = [0, 1 / 4, 2 / 4, 3 / 4, 1, 1, 3 / 4, 2 / 4, 1 / 4, 0, 0, 0]
    torch.testing.assert_close(weights, torch.tensor(expected, dtype=torch.float64))
    assert weights[0] == 0 and (weights[9:] == 0).all() and (weights[4:6] == 1).all()


def test_overlapping_ramps_take_the_larger_value():
    weights = ramps(mask_of((0, 1), (5, 6), (11, 12), frames=12), 4)[0, :, 0] * 5
    torch.testing.assert_close(weights, torch.tensor([5, 4, 3, 3, 4, 5, 4, 3, 2, 3, 4, 5], dtype=torch.float64))


@given(st.lists(st.sampled_from([0.0, 0.0, 0.25, 0.6, 1.0]), min_size=1, max_size=60), st.integers(0, 80))
def test_ramps_against_the_distance_to_every_frame(values, frames):
    mask = torch.tensor(values, dtype=torch.float64)[None, :, None]
    expected = [max(max(m - abs(i - j) / (frames + 1) for j, m in enumerate(values)), 0.0) for i in range(len(values))]
    # The outermost ramps are shortened to fit between the region and the song's ends.
    inside = [j for j, m in enumerate(values) if m]
    if inside and inside[0] < frames:
        expected[: inside[0]] = [values[inside[0]] * (i + 1) / (inside[0] + 1) for i in range(inside[0])]
    after = len(values) - 1 - inside[-1] if inside else 0
    if inside and after < frames:
        expected[inside[-1] + 1 :] = [values[inside[-1]] * (after - i) / (after + 1) for i in range(after)]
    weights = ramps(mask, frames)
    torch.testing.assert_close(weights[0, :, 0], torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("frames", range(0, 60, 7))
def test_beyond_a_ramp_the_weight_is_exactly_zero(frames):
    # A weight of 1e-17 would still change some source values.
    weights = ramps(mask_of((7000, 7100), frames=15000), frames)[0, :, 0]
    assert (weights != 0).sum() == 100 + 2 * frames


def test_blend_by_hand():
    region = make_region(mask_of((10, 20)), blend_frames=1)
    x = draw([9], FRAMES, 4)
    end = region.blend(x)
    torch.testing.assert_close(end[:, 9], (x[:, 9] + region.source[:, 9]) / 2)
    torch.testing.assert_close(end[:, 20], (x[:, 20] + region.source[:, 20]) / 2)
    assert torch.equal(end[:, 10:20], x[:, 10:20])
    assert torch.equal(end[:, :9], region.source[:, :9]) and torch.equal(end[:, 21:], region.source[:, 21:])


def test_a_soft_mask_mixes_by_its_value():
    mask = torch.full((1, FRAMES, 1), 0.25)
    region, x = make_region(mask), draw([9], FRAMES, 4)
    torch.testing.assert_close(region.blend(x), 0.25 * x + 0.75 * region.source)
    level = 0.4 * region.noise + 0.6 * region.source
    torch.testing.assert_close(region.inject(x, 0.4), 0.25 * x + 0.75 * level)


def test_each_item_can_have_its_own_mask():
    noise, source = draw([1, 2], FRAMES, 4), draw([3, 4], FRAMES, 4)
    mask = torch.cat([mask_of((0, 10)), mask_of((20, 30))])
    end = run(Region(source, mask, noise, 1.0, 2))
    assert torch.equal(end[0, 12:], source[0, 12:]) and torch.equal(end[1, :18], source[1, :18])
    for i in range(2):
        item = slice(i, i + 1)
        single = run(Region(source[item], mask[item], noise[item], 1.0, 2))
        torch.testing.assert_close(end[item], single, rtol=0, atol=1e-5)


def test_a_region_is_converted_to_the_run_s_dtype():
    region = make_region(mask_of((10, 20)))
    x = region.noise.double()
    end = denoise(mixing, x, linear(4, 3.0), guidance=APG, solver=euler, region=region)
    assert end.dtype == torch.float64
    assert torch.equal(end[:, 20:], region.source[:, 20:].double())


def test_a_region_needs_a_schedule_that_ends_at_0():
    region = make_region(mask_of((10, 20)))
    with pytest.raises(ValueError, match=r"ends at 0, this one ends at 0\.3"):
        denoise(mixing, region.noise, [1.0, 0.3], guidance=APG, solver=euler, region=region)


def test_all_problems_are_reported_at_once():
    with pytest.raises(ValueError) as caught:
        Region(torch.zeros(2, 9, 4), torch.full((2, 8, 1), 2.0), torch.zeros(2, 9, 5), 1.5, -1)
    for problem in (
        r"noise is \(2, 9, 5\), it must be \(2, 9, 4\)",
        r"mask is \(2, 8, 1\), allowed \(2, 9, 1\) or \(1, 9, 1\)",
        r"mask has values outside 0",
        r"injection is 1.5",
        r"blend_frames is -1",
    ):
        assert caught.match(problem)


def test_nan_in_a_mask_is_rejected():
    with pytest.raises(ValueError, match="mask has values"):
        make_region(torch.full((1, 9, 1), math.nan))

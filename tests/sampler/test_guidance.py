"""Guidance against independent derivations in NumPy, and its state."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import APG
from torch import Tensor

from acestep_xl import parameters
from acestep_xl.sampler.guidance import GUIDANCE, Guidance, get_guidance

CFG = replace(APG, type="cfg")
ADG = replace(APG, type="adg")


def velocities(seed: int, batch: int = 2, frames: int = 37, channels: int = 16) -> tuple[Tensor, Tensor, Tensor]:
    """cond, uncond and x, all different; only some channels exceed the norm threshold."""
    generator = torch.Generator().manual_seed(seed)
    cond, change, x = torch.randn(3, batch, frames, channels, generator=generator)
    return cond, cond + 0.6 * change * torch.linspace(0.1, 1.5, channels), x


def numpy_apg(cond, uncond, previous, scale, momentum, threshold, eta):
    """One item and channel at a time, as vectors over time."""
    out, average = np.empty_like(cond), np.empty_like(cond)
    for b in range(cond.shape[0]):
        for c in range(cond.shape[2]):
            v = cond[b, :, c]
            d = v - uncond[b, :, c] + momentum * previous[b, :, c]
            average[b, :, c] = d
            length = math.sqrt(float(d @ d))
            if 0 < threshold < length:
                d = d * threshold / length
            parallel = (d @ v) / (v @ v) * v
            out[b, :, c] = v + (scale - 1) * (d - parallel + eta * parallel)
    return out, average


@pytest.mark.parametrize(
    ("scale", "momentum", "threshold", "eta"),
    [(7.0, -0.75, 2.5, 0.0), (1.5, 0.5, 0.0, 1.0), (30.0, 0.0, 0.3, 0.25), (4.0, -1.0, 100.0, 0.5)],
)
def test_apg_over_several_steps(scale, momentum, threshold, eta):
    run = replace(APG, scale=scale, momentum=momentum, norm_threshold=threshold, eta=eta).begin()
    average = np.zeros((2, 37, 16))
    for step in range(4):
        cond, uncond, x = velocities(step)
        expected, average = numpy_apg(
            cond.double().numpy(), uncond.double().numpy(), average, scale, momentum, threshold, eta
        )
        actual = run.combine(cond, uncond, x, 1 - step / 4)
        assert actual.dtype == torch.float32
        np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-5, atol=1e-4)


def test_apg_limits_some_channels_only():
    # Otherwise the comparison above would miss a limit applied along the wrong axis.
    cond, uncond, _ = velocities(0)
    length = (cond - uncond).norm(dim=1)
    assert (length < 2.5).any() and (length > 2.5).any()


def test_apg_without_limit_momentum_and_projection_is_cfg():
    cond, uncond, x = velocities(1)
    combined = replace(APG, momentum=0.0, norm_threshold=0.0, eta=1.0).begin().combine(cond, uncond, x, 0.5)
    torch.testing.assert_close(combined, CFG.begin().combine(cond, uncond, x, 0.5), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(combined, uncond + 7 * (cond - uncond), rtol=1e-5, atol=1e-5)


def test_the_apg_update_is_orthogonal_and_within_the_limit():
    cond, uncond, x = velocities(2)
    update = (APG.begin().combine(cond, uncond, x, 0.5) - cond).double()
    assert ((update * cond).sum(dim=1) / cond.norm(dim=1) / update.norm(dim=1)).abs().max() < 1e-5
    assert update.norm(dim=1).max() <= 6 * 2.5 * (1 + 1e-6)


def test_apg_of_equal_and_of_zero_velocities():
    cond, _, x = velocities(3)
    assert torch.equal(APG.begin().combine(cond, cond, x, 0.5), cond)
    zero = torch.zeros_like(cond)
    assert torch.isfinite(APG.begin().combine(zero, cond, x, 0.5)).all()


@pytest.mark.parametrize("settings_", [APG, CFG, ADG, replace(ADG, adg_variant="normalised")])
@given(st.integers(0, 2**31), st.integers(1, 4))
@settings(deadline=None, max_examples=15)
def test_batch_items_equal_singles(settings_, seed, batch):
    together, singles = settings_.begin(), [settings_.begin() for _ in range(batch)]
    for step in range(3):
        cond, uncond, x = velocities(seed + step, batch)
        batched = together.combine(cond, uncond, x, 0.9 - step / 4)
        for i, run in enumerate(singles):
            item = slice(i, i + 1)
            single = run.combine(cond[item], uncond[item], x[item], 0.9 - step / 4)
            torch.testing.assert_close(batched[item], single, rtol=0, atol=1e-6)


def test_state_lasts_for_one_run():
    cond, uncond, x = velocities(4)
    first = APG.begin()
    fresh = first.combine(cond, uncond, x, 1.0)
    assert not torch.allclose(first.combine(cond, uncond, x, 0.9), fresh)
    assert torch.equal(APG.begin().combine(cond, uncond, x, 1.0), fresh)


def test_later_evaluations_of_a_step_use_its_state_without_changing_it():
    steps = [velocities(seed) for seed in range(3)]
    reference, correcting = APG.begin(), APG.begin()
    for step, (cond, uncond, x) in enumerate(steps):
        expected = reference.combine(cond, uncond, x, 1 - step / 3)
        assert torch.equal(correcting.combine(cond, uncond, x, 1 - step / 3), expected)
        # The same point gives the same velocity, however often it is evaluated.
        for _ in range(2):
            assert torch.equal(correcting.combine(cond, uncond, x, 1 - step / 3, advance=False), expected)
        correcting.combine(*velocities(99), 0.1, advance=False)


def numpy_adg(cond, uncond, x, t, scale, clip, normalise):
    """Rotate each frame's clean estimate in the plane of both estimates, with an orthonormal basis of that plane.

    In the basis (e1 along the unconditional estimate, e2 orthogonal to it) the conditional estimate is
    r (cos a, sin a). The method keeps cos(turn) of it and adds its e2 component, r sin a, scaled by sin(turn) / sin a.
    """
    weight = scale - 1 + 1e-3
    x0_cond, x0_uncond = x - t * cond, x - t * uncond
    out = np.empty_like(x)
    for b, f in np.ndindex(x.shape[:2]):
        e1 = x0_uncond[b, f] / np.linalg.norm(x0_uncond[b, f])
        radius = np.linalg.norm(x0_cond[b, f])
        along = x0_cond[b, f] @ e1
        angle = math.acos(max(-1.0, min(1.0, along / radius)))
        height = x0_cond[b, f] - along * e1
        turn = weight * angle if clip is None else min(weight * angle, clip)
        if math.sin(angle) > 1e-3:
            out[b, f] = math.cos(turn) * x0_cond[b, f] + radius * math.sin(turn) * height / np.linalg.norm(height)
        else:
            out[b, f] = math.cos(turn) * x0_cond[b, f] + weight * height
    if normalise:
        out *= np.linalg.norm(x0_cond, axis=1, keepdims=True) / np.linalg.norm(out, axis=1, keepdims=True)
    return (x - out) / t


@pytest.mark.parametrize("variant", ["standard", "normalised", "unclipped"])
@pytest.mark.parametrize(("scale", "clip", "t"), [(7.0, 3.14 / 6, 1.0), (1.3, 3.14 / 3, 0.6), (2.0, 1.5, 0.05)])
def test_adg(variant, scale, clip, t):
    cond, uncond, x = velocities(5)
    x = 2 * x
    cond[:, 3] = uncond[:, 3]  # no angle at all
    cond[:, 4] = uncond[:, 4] + 1e-5 * cond[:, 4]  # an angle below the smallest sine
    actual = replace(ADG, scale=scale, angle_clip=clip, adg_variant=variant).begin().combine(cond, uncond, x, t)
    c, u, latent = (v.double().numpy() for v in (cond, uncond, x))
    limit = None if variant == "unclipped" else clip
    expected = numpy_adg(c, u, latent, t, scale, limit, variant == "normalised")
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-3, atol=2e-5 / t)


def test_adg_of_equal_velocities_is_the_velocity():
    cond, _, x = velocities(6)
    torch.testing.assert_close(ADG.begin().combine(cond, cond, x, 0.5), cond, rtol=0, atol=1e-5)


def test_adg_at_level_zero_is_cfg():
    cond, uncond, x = velocities(7)
    assert torch.equal(ADG.begin().combine(cond, uncond, x, 0.0), CFG.begin().combine(cond, uncond, x, 0.0))


@pytest.mark.parametrize("settings_", [APG, CFG, ADG, replace(ADG, adg_variant="normalised")])
@pytest.mark.parametrize("where", ["cond", "uncond"])
def test_nan_propagates(settings_, where):
    cond, uncond, x = velocities(8)
    {"cond": cond, "uncond": uncond}[where][0, 5, 3] = math.nan
    assert settings_.begin().combine(cond, uncond, x, 0.5)[0, 5, 3].isnan()


@pytest.mark.parametrize("kind", ["apg", "cfg"])
def test_scale_one_is_the_conditional_velocity(kind):
    cond, uncond, x = velocities(9)
    actual = replace(APG, type=kind, scale=1.0).begin().combine(cond, uncond, x, 0.5)
    torch.testing.assert_close(actual, cond, rtol=0, atol=1e-6)


def test_the_interval_is_in_progress():
    middle = replace(APG, start=0.2, end=0.6)
    assert [middle.active(t) for t in (1.0, 0.81, 0.8, 0.6, 0.4, 0.39, 0.0)] == [
        False,
        False,
        True,
        True,
        True,
        False,
        False,
    ]
    assert APG.active(1.0) and APG.active(0.0)
    assert not replace(APG, scale=1.0).active(0.5)


@given(st.floats(0, 1))
def test_the_interval_includes_its_ends_after_float32_rounding(progress):
    t = float(torch.tensor(1 - progress, dtype=torch.float32))
    assert replace(APG, start=progress, end=progress).active(t)
    assert not replace(APG, start=progress, end=progress).active(t + 1e-4)
    assert not replace(APG, start=progress, end=progress).active(t - 1e-4)


def test_all_problems_are_reported_at_once():
    with pytest.raises(ValueError) as caught:
        Guidance("apq", 40.0, 0.8, 0.2, -2.0, -1.0, 1.5, 9.0, "wild")
    for problem in (
        r"type is 'apq', known: apg, cfg, adg",
        r"scale is 40.0, allowed 1 to 30",
        r"start 0.8 lies after end 0.2",
        r"momentum is -2.0",
        r"norm_threshold is -1.0",
        r"eta is 1.5",
        r"angle_clip is 9.0",
        r"adg_variant is 'wild', known: standard",
    ):
        assert caught.match(problem)


@pytest.mark.parametrize("field", ["scale", "start", "end", "momentum", "norm_threshold", "eta", "angle_clip"])
def test_nan_is_rejected(field):
    with pytest.raises(ValueError, match=f"{field} is nan"):
        replace(APG, **{field: math.nan})


def test_the_table_matches_the_parameter_choices():
    assert tuple(GUIDANCE) == parameters.get("guidance_type").choices
    with pytest.raises(ValueError, match="'pag'; known: apg, cfg, adg"):
        get_guidance("pag")

"""Each modifier against closed forms in NumPy."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from sampling import CFG, UNGUIDED, field, heun, tensors
from torch import Tensor

from acestep_xl import parameters
from acestep_xl.sampler.denoise import Step, denoise
from acestep_xl.sampler.modifiers import (
    MODIFIERS,
    GuidanceRescale,
    NormClamp,
    VelocityEma,
    Wavelet,
    get_modifier,
)
from acestep_xl.sampler.noise import draw
from acestep_xl.sampler.region import Region
from acestep_xl.sampler.schedule import linear
from acestep_xl.sampler.solver import euler


@pytest.mark.parametrize("threshold", [0.1, 0.9, 2.0])
def test_norm_clamp(threshold):
    v, x = tensors(2)
    v = v * torch.tensor([0.5, 3.0])[:, None, None]  # one item within the limit of 0.9, one beyond
    clamped = NormClamp(threshold).begin().velocity(v, x, 0.5, True)
    for i in range(2):
        length, limit = np.linalg.norm(v[i].numpy()), threshold * np.linalg.norm(x[i].numpy())
        expected = v[i].numpy() * min(1, limit / (length + 1e-10))
        np.testing.assert_allclose(clamped[i].numpy(), expected, rtol=1e-12)
        assert np.linalg.norm(clamped[i].numpy()) <= max(limit, 1e-12) * (1 + 1e-9)


def test_norm_clamp_keeps_velocities_below_the_limit_and_handles_zeros():
    v, x = tensors(2)
    assert torch.equal(NormClamp(10.0).velocity(v, x, 0.5, True), v)
    assert torch.equal(NormClamp(1.0).velocity(0 * v, x, 0.5, True), 0 * v)
    assert torch.equal(NormClamp(1.0).velocity(v, 0 * x, 0.5, True), 0 * v)


def test_velocity_ema_is_a_geometric_sum():
    f, steps = 0.3, tensors(5)
    run = VelocityEma(f).begin()
    for k, v in enumerate(steps):
        weights = [f**k, *((1 - f) * f ** (k - j) for j in range(1, k + 1))]
        assert math.isclose(sum(weights), 1)
        expected = sum(w * z for w, z in zip(weights, steps, strict=False))
        torch.testing.assert_close(run.velocity(v, v, 0.5, True), expected, rtol=0, atol=1e-12)


def test_later_evaluations_of_a_step_use_its_average_without_changing_it():
    a, b, c, other = tensors(4)
    reference, correcting = VelocityEma(0.25).begin(), VelocityEma(0.25).begin()
    for v in (a, b, c):
        expected = reference.velocity(v, v, 0.5, True)
        assert torch.equal(correcting.velocity(v, v, 0.5, True), expected)
        assert torch.equal(correcting.velocity(v, v, 0.5, False), expected)
        again = correcting.velocity(other, other, 0.4, False)
        assert torch.equal(correcting.velocity(other, other, 0.4, False), again)
    first = VelocityEma(0.25).begin()
    first.velocity(a, a, 0.5, True)
    assert torch.equal(first.velocity(other, a, 0.4, False), other)  # the first step has no previous average


def test_velocity_ema_smooths_the_run_by_hand():
    noise, f, sigmas = draw([1], 9, 4), 0.4, linear(6, 3.0)
    x, average = noise, None
    for t, t_next in pairwise(sigmas):
        v = field(x, t, unconditional=False)[0]
        v = v if average is None else (1 - f) * v + f * average
        x, average = x - v * (t - t_next), v
    run = denoise(field, noise, sigmas, guidance=UNGUIDED, solver=euler, modifiers=[VelocityEma(f)])
    torch.testing.assert_close(run, x, rtol=0, atol=1e-6)


def test_guidance_rescale_restores_the_standard_deviation_of_the_clean_estimate():
    x, cond, guided = tensors(3)
    guided, t = 4 * guided, 0.7
    for factor in (0.0, 0.4, 1.0):
        rescaled = x - t * GuidanceRescale(factor).guided(guided, cond, x, t)
        for i in range(2):
            estimate = (x - t * guided)[i].numpy()
            ratio = (x - t * cond)[i].numpy().std() / estimate.std()
            assert abs(ratio - 1) > 0.3, "the test data need different standard deviations"
            np.testing.assert_allclose(rescaled[i].numpy(), estimate * (factor * ratio + 1 - factor), rtol=1e-10)


def test_guidance_rescale_keeps_the_direction_and_does_nothing_at_level_0():
    x, cond, guided = tensors(3)
    assert GuidanceRescale(1.0).guided(guided, cond, x, 0) is guided
    # An estimate that is constant, or already has the right standard deviation, does not change.
    flat = x / 0.5
    torch.testing.assert_close(GuidanceRescale(1.0).guided(flat, cond, x, 0.5), flat)
    torch.testing.assert_close(GuidanceRescale(1.0).guided(cond, cond, x, 0.5), cond)
    estimate = x - 0.5 * guided
    rescaled = x - 0.5 * GuidanceRescale(1.0).guided(guided, cond, x, 0.5)
    cosines = torch.cosine_similarity(rescaled.flatten(1), estimate.flatten(1), dim=1)
    torch.testing.assert_close(cosines, torch.ones(2, dtype=torch.float64))


def test_guidance_rescale_acts_in_guided_steps_only():
    x, sigmas, late = draw([2], 12, 4), linear(6, 1.0), replace(CFG, start=0.5)
    latents: dict[bool, list[Tensor]] = {True: [], False: []}
    for on in (True, False):
        denoise(
            field,
            x,
            sigmas,
            guidance=late,
            solver=euler,
            modifiers=[GuidanceRescale(1.0)] * on,
            on_step=lambda step, on=on: latents[on].append(step.x),
        )
    equal = [torch.equal(a, b) for a, b in zip(latents[True], latents[False], strict=True)]
    assert equal == [True, True, True, False, False, False]


def haar(frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal analysis matrices of one Haar level over time, low band and high band; the end is padded with 0."""
    low, high = np.zeros((2, (frames + 1) // 2, frames))
    for k in range(frames):
        low[k // 2, k] = math.sqrt(0.5)
        high[k // 2, k] = math.sqrt(0.5) * (1 if k % 2 == 0 else -1)
    return low, high


@pytest.mark.parametrize("frames", [1, 2, 7, 12])
@pytest.mark.parametrize("mode", ["low", "high", "double", "pix"])
def test_wavelet(mode, frames):
    x, x0 = tensors(2, frames=frames)
    t, low, high = 0.7, 0.3, 0.2
    corrected = Wavelet(mode, low, high).begin().step(x, x0, t)
    analysis_low, analysis_high = haar(frames)
    low_weight = t * low * (mode in ("low", "double"))
    high_weight = (1 - t) * high * (mode in ("high", "double"))
    for i in range(2):
        a, b = x[i].numpy(), x0[i].numpy()
        bands = [(m @ a, m @ b) for m in (analysis_low, analysis_high)]
        new = [xb + weight * (xb - yb) for (xb, yb), weight in zip(bands, (low_weight, high_weight), strict=True)]
        expected = analysis_low.T @ new[0] + analysis_high.T @ new[1]
        if mode == "pix":
            expected = a + low * (a - b)
        np.testing.assert_allclose(corrected[i].numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("frames", [2, 9, 32])
def test_wavelet_against_pywavelets(frames):
    pywt = pytest.importorskip("pywt")
    x, x0 = tensors(2, frames=frames)
    corrected = Wavelet("double", 0.05, 0.02).step(x, x0, 0.6).numpy()
    (xl, xh), (yl, yh) = (pywt.dwt(z.numpy(), "haar", mode="zero", axis=1) for z in (x, x0))
    bands = xl + 0.6 * 0.05 * (xl - yl), xh + 0.4 * 0.02 * (xh - yh)
    expected = pywt.idwt(*bands, "haar", mode="zero", axis=1)[:, :frames]
    np.testing.assert_allclose(corrected, expected, rtol=0, atol=1e-12)


def test_wavelet_in_the_run_by_hand():
    noise, sigmas, wavelet = draw([3], 10, 4), linear(5, 3.0), Wavelet("double", 0.5, 0.4)
    x, steps = noise, list[Step]()
    denoise(field, noise, sigmas, guidance=UNGUIDED, solver=euler, modifiers=[wavelet], on_step=steps.append)
    for (t, t_next), step in zip(pairwise(sigmas), steps, strict=True):
        v = field(x, t, unconditional=False)[0]
        x0, x = x - t * v, x - (t - t_next) * v
        uncorrected, x = x, wavelet.step(x, x0, t)
        torch.testing.assert_close(step.x, x, rtol=0, atol=1e-6)
        torch.testing.assert_close(step.x0, x0, rtol=0, atol=1e-6)
        # A final Euler step lands on the estimate itself; all others are corrected.
        assert (step.index == 4) == torch.allclose(uncorrected, x, atol=1e-5)


def test_wavelet_corrects_the_last_step_of_other_solvers():
    x = draw([4], 10, 4)
    ends = [
        denoise(field, x, [1.0, 0.0], guidance=UNGUIDED, solver=heun, modifiers=modifiers)
        for modifiers in ([], [Wavelet("pix", 0.5, 0)])
    ]
    assert not torch.allclose(*ends, atol=1e-3)


def test_a_region_keeps_its_source_through_a_wavelet():
    x, source = draw([1], 6, 4), draw([2], 6, 4)
    mask = torch.zeros(1, 6, 1)
    mask[:, 2:4] = 1
    steps: list[Step] = []
    denoise(
        field,
        x,
        [1.0, 0.5, 0.0],
        guidance=UNGUIDED,
        solver=euler,
        region=Region(source, mask, x, 1.0, 0),
        modifiers=[Wavelet("pix", 1.0, 0.0)],
        on_step=steps.append,
    )
    torch.testing.assert_close(steps[0].x[:, :2], 0.5 * (x + source)[:, :2])


def test_only_the_wavelet_has_a_warning():
    assert "SFT" in (Wavelet.WARNING or "") and "8 steps" in (Wavelet.WARNING or "")
    assert [kind.WARNING for kind in MODIFIERS.values() if kind is not Wavelet] == [None] * 3


def test_the_table_and_its_settings():
    assert get_modifier("wavelet") is Wavelet
    with pytest.raises(ValueError, match="'dcw'; known: norm_clamp, velocity_ema, guidance_rescale, wavelet"):
        get_modifier("dcw")
    for kind in MODIFIERS.values():
        kind(**{name: parameters.get(parameter).default for name, parameter in kind.SETTINGS.items()})
    with pytest.raises(ValueError, match=r"Wavelet: mode is 'all', known: low.*; low is 2\.0, allowed 0 to 1; high is"):
        Wavelet("all", 2.0, -1.0)
    with pytest.raises(ValueError, match=r"threshold is nan, allowed 0\.1 to 10"):
        NormClamp(math.nan)
    with pytest.raises(ValueError, match=r"factor is True, a number from 0 to 0\.95 is needed"):
        VelocityEma(True)

"""Modifiers in a run: their order, state, batches, and what solvers see of them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import APG, CFG, UNGUIDED, field, heun
from torch import Tensor

from acestep_xl.sampler.denoise import Step, denoise
from acestep_xl.sampler.modifiers import (
    GuidanceRescale,
    Modifier,
    NormClamp,
    VelocityEma,
    Wavelet,
)
from acestep_xl.sampler.noise import draw
from acestep_xl.sampler.schedule import linear
from acestep_xl.sampler.solver import euler

ALL = (GuidanceRescale(0.7), NormClamp(0.6), VelocityEma(0.2), Wavelet("double", 0.1, 0.1))


@pytest.mark.parametrize("solver", [euler, heun])
@pytest.mark.parametrize("guidance", [APG, CFG])
def test_without_modifiers_the_run_is_bit_identical(solver, guidance):
    x, sigmas = draw([5], 16, 4), linear(6, 3.0)
    plain = denoise(field, x, sigmas, guidance=guidance, solver=solver)
    assert torch.equal(denoise(field, x, sigmas, guidance=guidance, solver=solver, modifiers=[]), plain)
    assert torch.equal(denoise(field, x, sigmas, guidance=guidance, solver=solver, modifiers=[Modifier()]), plain)


@pytest.mark.parametrize("modifier", ALL)
def test_each_modifier_changes_the_run(modifier):
    x, sigmas = draw([5], 16, 4), linear(6, 3.0)
    plain = denoise(field, x, sigmas, guidance=CFG, solver=euler)
    assert not torch.allclose(
        denoise(field, x, sigmas, guidance=CFG, solver=euler, modifiers=[modifier]), plain, atol=1e-3
    )


def test_state_lasts_for_one_run():
    x, sigmas = draw([5], 16, 4), linear(6, 3.0)
    first, second = (denoise(field, x, sigmas, guidance=CFG, solver=heun, modifiers=ALL) for _ in range(2))
    assert torch.equal(first, second)


def test_modifiers_act_in_the_order_given():
    x, sigmas = draw([5], 16, 4), linear(6, 3.0)
    orders = [(NormClamp(0.5), VelocityEma(0.5)), (VelocityEma(0.5), NormClamp(0.5))]
    ends = [denoise(field, x, sigmas, guidance=CFG, solver=euler, modifiers=order) for order in orders]
    assert not torch.allclose(*ends, atol=1e-4)


@pytest.mark.parametrize("solver", [euler, heun])
@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(1, 17), st.permutations(ALL))
@settings(deadline=None, max_examples=10)
def test_batch_items_equal_singles(solver, seed, batch, frames, modifiers):
    x, sigmas = draw([seed + i for i in range(batch)], frames, 4).double(), linear(5, 3.0)
    together = denoise(field, x, sigmas, guidance=CFG, solver=solver, modifiers=modifiers)
    for i in range(batch):
        single = denoise(field, x[i : i + 1], sigmas, guidance=CFG, solver=solver, modifiers=modifiers)
        torch.testing.assert_close(together[i : i + 1], single, rtol=0, atol=1e-9)


def test_state_advances_once_per_step_whatever_the_evaluations():
    calls: list[tuple[float, bool]] = []

    class Recorder(Modifier):
        def velocity(self, velocity: Tensor, x: Tensor, t: float, advance: bool) -> Tensor:
            calls.append((t, advance))
            return velocity

    denoise(field, draw([1], 4, 2), [1.0, 0.5, 0.0], guidance=UNGUIDED, solver=heun, modifiers=[Recorder()])
    assert calls == [(1.0, True), (0.5, False), (0.5, True), (0.0, False)]


def test_solvers_see_the_modified_velocity():
    class Stop(Modifier):
        def velocity(self, velocity: Tensor, x: Tensor, t: float, advance: bool) -> Tensor:
            return 0 * velocity

    x, steps = draw([1], 4, 2), list[Step]()
    assert torch.equal(
        denoise(field, x, [1.0, 0.5, 0.0], guidance=CFG, solver=heun, modifiers=[Stop()], on_step=steps.append), x
    )
    assert all(torch.equal(step.x0, x) for step in steps)

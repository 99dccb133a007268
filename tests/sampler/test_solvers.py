"""Solvers in a run: evaluations, guidance, state, single steps, dtypes, and the table."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
import torch
from flows import DETERMINISTIC, LEVELS, Velocity, curved, gaussian, levels, start, steps
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import APG
from torch import Tensor

from acestep_xl import parameters
from acestep_xl.sampler.denoise import Step, denoise
from acestep_xl.sampler.noise import draw
from acestep_xl.sampler.schedule import linear
from acestep_xl.sampler.solver import SOLVERS, euler, get_solver, make_solver
from acestep_xl.sampler.solvers.interpolation import weights


@dataclass
class Field:
    """A velocity that records its evaluations."""

    velocity: Velocity

    def __post_init__(self) -> None:
        self.calls: list[float] = []

    def __call__(self, x: Tensor, t: float) -> Tensor:
        self.calls.append(t)
        return self.velocity(x, t)


@pytest.mark.parametrize("name", SOLVERS)
def test_evaluations_per_step(name):
    field, sigmas = Field(curved), linear(12, 3.0)
    stepper, x = make_solver(name, [7], 1.0)(), start()
    for t, t_next in pairwise(sigmas):
        x_start, inputs = x, list[Tensor]()
        x = stepper(lambda x, t: (inputs.append(x), field(x, t))[1], x, t, t_next)  # noqa: B023 - called at once
        assert torch.equal(inputs[0], x_start) and field.calls[-len(inputs)] == t
        assert all(t_next <= level <= t for level in field.calls[-len(inputs) :])
        assert len(inputs) == SOLVERS[name].evaluations


class RecordingGuidance:
    """APG that records which evaluations advance its state."""

    def __init__(self) -> None:
        self.run, self.advances = APG.begin(), list[bool]()

    def active(self, t: float) -> bool:
        return APG.active(t)

    def begin(self) -> RecordingGuidance:
        return self

    def combine(self, cond: Tensor, uncond: Tensor, x: Tensor, t: float, advance: bool = True) -> Tensor:
        self.advances.append(advance)
        return self.run.combine(cond, uncond, x, t, advance)


@pytest.mark.parametrize("name", SOLVERS)
def test_guidance_state_advances_once_per_step(name):
    def predictor(x: Tensor, t: float, *, unconditional: bool) -> tuple[Tensor, Tensor]:
        return x, torch.sin(3 * x + t)

    guidance, reports = RecordingGuidance(), list[Step]()
    x, sigmas = draw([5], 12, 4), linear(7, 3.0)
    denoise(
        predictor,
        x,
        sigmas,
        guidance=guidance,  # type: ignore[arg-type] - a stand-in for Guidance
        solver=make_solver(name, [5], 1.0),
        on_step=reports.append,
    )
    assert guidance.advances == [True, *[False] * (SOLVERS[name].evaluations - 1)] * 7
    # Guidance evaluated only at the steps' starts gives the clean estimates that the run reported.
    reference = APG.begin()
    for x_start, step in zip([x, *(s.x for s in reports)], reports, strict=False):
        velocity = reference.combine(x_start, torch.sin(3 * x_start + step.t), x_start, step.t)
        torch.testing.assert_close(step.x0, x_start - step.t * velocity)


def test_heun_corrects_with_the_guidance_state_of_its_step():
    def predictor(x: Tensor, t: float, *, unconditional: bool) -> tuple[Tensor, Tensor]:
        return x, torch.sin(3 * x + t)

    x, sigmas, guide = draw([5], 12, 4), linear(5, 3.0), APG.begin()
    end = denoise(predictor, x, sigmas, guidance=replace(APG), solver=get_solver("heun"))
    for t, t_next in pairwise(sigmas):
        first = guide.combine(*predictor(x, t, unconditional=True), x, t)
        predicted = x - (t - t_next) * first
        second = guide.combine(*predictor(predicted, t_next, unconditional=True), predicted, t_next, advance=False)
        x = x - (t - t_next) * (first + second) / 2
    torch.testing.assert_close(end, x)


@pytest.mark.parametrize("high", [1.0, 0.6])
@pytest.mark.parametrize("name", SOLVERS)
def test_one_step(name, high):
    x = start()
    (end,) = steps(name, curved, x, [high, 0.0])
    velocity = curved(x, high)
    if SOLVERS[name].evaluations == 1:
        torch.testing.assert_close(end, x - high * velocity, rtol=0, atol=1e-12)
    midpoint = curved(x - high / 2 * velocity, high / 2)
    expected = {
        "heun": x - high / 2 * (velocity + curved(x - high * velocity, 0.0)),
        "midpoint": x - high * midpoint,
    }
    if name in expected:
        torch.testing.assert_close(end, expected[name], rtol=0, atol=1e-12)


@given(levels(), st.sampled_from(DETERMINISTIC))
@settings(deadline=None, max_examples=60)
def test_a_run_to_a_narrow_target_stays_bounded_on_any_levels(sigmas, name):
    # Close levels followed by distant ones must not make a multistep solver diverge.
    end = steps(name, gaussian, start(), sigmas)[-1]
    assert (end.abs() < 50).all()


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_runs_of_one_solver_are_independent(name):
    make_stepper, x, sigmas = get_solver(name), start(), linear(6, 3.0)

    def run() -> Tensor:
        stepper, latent = make_stepper(), x
        for t, t_next in pairwise(sigmas):
            latent = stepper(curved, latent, t, t_next)
        return latent

    assert torch.equal(run(), run())


@pytest.mark.parametrize("name", ["ab2", "ab3"])
def test_changes_to_x_between_steps_are_preserved(name):
    # The velocity does not depend on x, so what is added between steps remains at the end.
    def velocity(x: Tensor, t: float) -> Tensor:
        return torch.full_like(x, math.sin(4 * t))

    x, stepper = start(), get_solver(name)()
    unchanged = steps(name, velocity, x, LEVELS)[-1]
    for t, t_next in pairwise(LEVELS):
        x = stepper(velocity, x, t, t_next) + 0.5
    torch.testing.assert_close(x, unchanged + 0.5 * (len(LEVELS) - 1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", SOLVERS)
def test_the_dtype_is_preserved(name, dtype):
    assert steps(name, lambda x, t: 0.5 * x, draw([1], 16, 4).to(dtype), linear(5, 3.0))[-1].dtype == dtype


@pytest.mark.parametrize("name", SOLVERS)
def test_nothing_synchronises_with_the_device(name):
    # Reading a value of a meta tensor raises.
    x = torch.empty(2, 16, 4, device="meta")
    assert steps(name, lambda x, t: 0.5 * x, x, linear(5, 3.0))[-1].device.type == "meta"


def test_weights_by_hand():
    assert weights([0.0], [0.25]) == [0.25]
    assert weights([0.0, -1.0], [1.0, 0.5]) == [1.5, -0.5]
    torch.testing.assert_close(weights([0.0, -1.0, -2.0], [1.0, 1 / 2, 1 / 3]), [23 / 12, -16 / 12, 5 / 12])


def test_the_table():
    assert get_solver("euler") is make_solver("euler", [], 0.0) is euler
    assert parameters.get("solver_type").choices == tuple(SOLVERS)
    for make in (get_solver, lambda name: make_solver(name, [1], 1.0)):
        with pytest.raises(ValueError, match="'eular'; known: euler, heun, "):
            make("eular")


@pytest.mark.parametrize("name", [name for name, kind in SOLVERS.items() if kind.stochastic])
def test_a_stochastic_solver_requires_seeds(name):
    with pytest.raises(ValueError, match=f"{name} draws noise: use make_solver"):
        get_solver(name)

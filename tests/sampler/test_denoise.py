"""The denoising loop, on velocities whose flow has a closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import APG
from torch import Tensor

from acestep_xl.sampler.denoise import Step, Switch, denoise, start
from acestep_xl.sampler.noise import draw
from acestep_xl.sampler.region import Region
from acestep_xl.sampler.schedule import linear
from acestep_xl.sampler.solver import SOLVERS, Evaluate, Stepper, euler, get_solver

NONE = replace(APG, scale=1.0)
CFG = replace(APG, type="cfg", scale=3.0)


Velocity = Callable[[Tensor, float], Tensor]


class Field:
    """A predictor from functions of (x, t) that records its calls."""

    def __init__(self, cond: Velocity, uncond: Velocity | None = None):
        self.cond, self.uncond = cond, uncond or cond
        self.calls: list[tuple[float, bool]] = []

    def __call__(self, x: Tensor, t: float, *, unconditional: bool) -> tuple[Tensor, Tensor | None]:
        self.calls.append((t, unconditional))
        return self.cond(x, t), self.uncond(x, t) if unconditional else None


def constant(value: Tensor) -> Field:
    return Field(lambda x, t: value, lambda x, t: 0 * value)


def run(predictor, x, sigmas, guidance=NONE, **options):
    return denoise(predictor, x, sigmas, guidance=guidance, solver=euler, **options)


@given(st.integers(1, 300), st.floats(0.1, 10.0), st.integers(0, 2**31))
@settings(deadline=None, max_examples=20)
def test_euler_is_exact_on_a_straight_path(steps, shift, seed):
    noise, data = draw([seed, seed + 1], 5, 4).double().chunk(2)
    torch.testing.assert_close(run(constant(noise - data), noise, linear(steps, shift)), data, rtol=0, atol=1e-12)


def test_euler_is_exact_towards_a_single_data_point():
    # The velocity of a flow to one data point, (x - data) / t, is constant along its straight path.
    noise, data = draw([1, 2], 5, 4).double().chunk(2)
    field = Field(lambda x, t: (x - data) / t)
    torch.testing.assert_close(run(field, noise, linear(13, 3.0)), data, rtol=0, atol=1e-12)


def test_euler_converges_with_first_order():
    # dx/dt = (a + b t) x has x(0) = x(1) exp(-a - b / 2).
    x = draw([3], 6, 4).double()
    field = Field(lambda x, t: (0.7 + 1.3 * t) * x)
    exact = x * math.exp(-0.7 - 0.65)
    errors = [float((run(field, x, linear(n, 3.0)) - exact).norm()) for n in (40, 80, 160, 320)]
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert all(abs(order - 1) < 0.2 for order in orders), orders


def test_gaussian_data_keep_their_standard_deviation():
    # Data N(m, s^2): the exact velocity is linear in x, and noise z ends at m + s z.
    mean, spread = 0.4, 0.3

    def velocity(x: Tensor, t: float) -> Tensor:
        variance = t * t + (1 - t) ** 2 * spread**2
        return (t - (1 - t) * spread**2) / variance * (x - (1 - t) * mean) - mean

    z = draw([4], 500, 8).double()
    end = run(Field(velocity), z, linear(300, 1.0))
    torch.testing.assert_close(end, mean + spread * z, rtol=0, atol=0.02)


def test_one_step_is_one_evaluation_at_level_1():
    noise, data = draw([1, 2], 5, 4).chunk(2)
    field = constant(noise - data)
    torch.testing.assert_close(run(field, noise, [1.0, 0.0]), data)
    assert field.calls == [(1.0, False)]


def test_guided_step_by_hand():
    x = draw([1], 3, 2)
    field = Field(lambda x, t: 2 * x, lambda x, t: x)
    once = run(field, x, [1.0, 0.75, 0.0], CFG)
    first = x - 0.25 * (x + 3 * x)
    torch.testing.assert_close(once, first - 0.75 * (first + 3 * first))


def test_apg_momentum_carries_through_the_run():
    noise = draw([1], 12, 4)
    field = Field(lambda x, t: x, lambda x, t: torch.sin(3 * x + t))
    x, guide, sigmas = noise, APG.begin(), linear(6, 3.0)
    for t, t_next in pairwise(sigmas):
        x = x - guide.combine(field.cond(x, t), field.uncond(x, t), x, t) * (t - t_next)
    assert torch.equal(run(field, noise, sigmas, APG), x)


@pytest.mark.parametrize(("start_", "end"), [(0.0, 1.0), (0.25, 0.6), (0.0, 0.5), (0.5, 1.0), (0.3, 0.3)])
def test_the_unconditional_velocity_is_requested_in_the_interval_only(start_, end):
    field, sigmas = constant(torch.ones(1, 3, 2)), linear(10, 1.0)
    run(field, torch.zeros(1, 3, 2), sigmas, replace(APG, start=start_, end=end))
    progress = [i / 10 for i in range(10)]
    assert [guided for _, guided in field.calls] == [start_ <= p <= end for p in progress]
    assert [t for t, _ in field.calls] == sigmas[:-1]


def test_scale_1_never_requests_the_unconditional_velocity():
    field = constant(torch.ones(1, 3, 2))
    run(field, torch.zeros(1, 3, 2), linear(10, 1.0), NONE)
    assert [guided for _, guided in field.calls] == [False] * 10


def test_guidance_state_advances_in_guided_steps_only():
    # A run guided from progress 0.5 on has no state from earlier steps: it equals a run that starts there.
    field = Field(lambda x, t: x * (1 + t), lambda x, t: torch.cos(x))
    late, sigmas = replace(APG, start=0.5), linear(10, 1.0)
    x = draw([1], 12, 4)
    latents: list[Tensor] = []
    end = run(field, x, sigmas, late, on_step=lambda step: latents.append(step.x))
    assert torch.equal(run(field, latents[4], sigmas[5:], APG), end)
    assert not torch.allclose(run(field, x, sigmas, APG), end)


def test_a_switch_changes_the_predictor_and_keeps_the_guidance_state():
    x, sigmas = draw([1], 12, 4), linear(6, 3.0)
    first = Field(lambda x, t: x, lambda x, t: torch.sin(3 * x))
    then = Field(lambda x, t: torch.cos(x), lambda x, t: x * x)
    both = Field(
        lambda x, t: (first if t >= sigmas[3] else then).cond(x, t),
        lambda x, t: (first if t >= sigmas[3] else then).uncond(x, t),
    )
    assert torch.equal(run(first, x, sigmas, APG, switch=Switch(4, then)), run(both, x, sigmas, APG))
    assert [t for t, _ in first.calls[-4:]] == sigmas[:4]
    assert [t for t, _ in then.calls[-2:]] == sigmas[4:6]


@pytest.mark.parametrize(("step", "first_steps"), [(0, 0), (-1, 0), (6, 6), (99, 6)])
def test_a_switch_at_the_ends(step, first_steps):
    first, then = constant(torch.ones(1, 3, 2)), constant(torch.ones(1, 3, 2))
    run(first, torch.zeros(1, 3, 2), linear(6, 3.0), switch=Switch(step, then))
    assert (len(first.calls), len(then.calls)) == (first_steps, 6 - first_steps)


def test_steps_are_reported():
    noise, data = draw([1, 2], 5, 4).double().chunk(2)
    sigmas, steps = linear(4, 3.0), list[Step]()
    end = run(constant(noise - data), noise, sigmas, on_step=steps.append)
    assert [(s.index, s.total, s.t, s.t_next) for s in steps] == [(i, 4, sigmas[i], sigmas[i + 1]) for i in range(4)]
    assert torch.equal(steps[-1].x, end)
    for step in steps:
        torch.testing.assert_close(step.x, start(noise, data, step.t_next), rtol=0, atol=1e-12)
        torch.testing.assert_close(step.x0, data, rtol=0, atol=1e-12)


def test_x0_is_the_guided_estimate_at_the_steps_start():
    x, steps = draw([1], 3, 2).double(), list[Step]()
    run(Field(lambda x, t: 2 * x, lambda x, t: x), x, [0.8, 0.5, 0.0], CFG, on_step=steps.append)
    torch.testing.assert_close(steps[0].x0, x - 0.8 * 4 * x)
    torch.testing.assert_close(steps[1].x0, steps[0].x - 0.5 * 4 * steps[0].x)


def test_an_exception_in_on_step_ends_the_run():
    class Cancelled(Exception):  # noqa: N818 - not an error
        pass

    def cancel(step: Step) -> None:
        if step.index == 2:
            raise Cancelled

    field = constant(torch.ones(1, 3, 2))
    with pytest.raises(Cancelled):
        run(field, torch.zeros(1, 3, 2), linear(300, 3.0), on_step=cancel)
    assert len(field.calls) == 3


def test_start_from_a_noised_source_reaches_the_source():
    noise, data = draw([1, 2], 5, 4).double().chunk(2)
    sigmas = [t for t in linear(20, 3.0) if t <= 0.6]
    x = start(noise, data, sigmas[0])
    torch.testing.assert_close(x, data + sigmas[0] * (noise - data))
    torch.testing.assert_close(run(constant(noise - data), x, sigmas), data, rtol=0, atol=1e-12)


def test_start_rejects_other_shapes_and_levels():
    with pytest.raises(ValueError, match=r"noise is \(1, 5, 4\), source \(1, 6, 4\): the shapes"):
        start(torch.zeros(1, 5, 4), torch.zeros(1, 6, 4), 0.5)
    with pytest.raises(ValueError, match=r"level 1\.5, allowed 0"):
        start(torch.zeros(1, 5, 4), torch.zeros(1, 5, 4), 1.5)


@pytest.mark.parametrize("guidance", [APG, CFG, replace(APG, type="adg")])
def test_a_batch_equals_its_single_runs(guidance):
    x, sigmas = draw([5, 6, 7], 20, 8), linear(8, 3.0)
    field = Field(lambda x, t: torch.tanh(x) * 2 - t, lambda x, t: torch.cos(2 * x))
    together = run(field, x, sigmas, guidance)
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], run(field, x[i : i + 1], sigmas, guidance), rtol=0, atol=1e-5)


@pytest.mark.parametrize("where", ["start", "velocity"])
def test_nan_propagates(where):
    x = draw([1], 6, 4)
    if where == "start":
        x[0, 2, 1] = math.nan
    field = Field(lambda x, t: x + (math.nan if where == "velocity" and t < 0.3 else 0.0), lambda x, t: 0.5 * x)
    end = run(field, x, linear(10, 1.0), APG)
    assert end[0, 2, 1].isnan()


def test_nan_propagates_through_a_region():
    x, source = draw([1], 6, 4), draw([2], 6, 4)
    mask = torch.zeros(1, 6, 1)
    mask[:, 2:4] = 1
    field = Field(lambda x, t: x * math.nan)
    assert run(field, x, linear(4, 1.0), region=Region(source, mask, x, 1.0, 0))[:, 2:4].isnan().all()


def test_the_input_is_not_modified():
    x = draw([1], 6, 4)
    original = x.clone()
    run(Field(lambda x, t: x, lambda x, t: 0.5 * x), x, linear(4, 1.0), APG)
    assert torch.equal(x, original)


@pytest.mark.parametrize("sigmas", [[], [1.0], [1.0, 1.0, 0.0], [0.5, 0.7, 0.0], [1.0, math.nan, 0.0], [14.6, 0.0]])
def test_invalid_levels_are_rejected(sigmas):
    field = constant(torch.ones(1, 3, 2))
    with pytest.raises(ValueError, match="schedule"):
        run(field, torch.zeros(1, 3, 2), sigmas)
    assert not field.calls


def test_a_predictor_without_the_requested_velocity_is_rejected():
    def predictor(x: Tensor, t: float, *, unconditional: bool) -> tuple[Tensor, Tensor | None]:
        return x, None

    with pytest.raises(ValueError, match="returned none"):
        run(predictor, torch.zeros(1, 3, 2), [1.0, 0.0], APG)


def test_two_evaluations_per_step_share_one_guidance_state():
    # A Heun of our own: the loop must support several evaluations per step, and keep state per run.
    def heun() -> Stepper:
        def step(evaluate: Evaluate, x: Tensor, t: float, t_next: float) -> Tensor:
            first = evaluate(x, t)
            return x - (first + evaluate(x - first * (t - t_next), t_next)) / 2 * (t - t_next)

        return step

    x = draw([3], 6, 4).double()
    growth, steps = Field(lambda x, t: 0.7 * x, lambda x, t: 0.7 * x), list[Step]()
    errors = [
        float((denoise(growth, x, linear(n, 1.0), guidance=NONE, solver=heun) - x * math.exp(-0.7)).norm())
        for n in (20, 40)
    ]
    assert abs(math.log2(errors[0] / errors[1]) - 2) < 0.2
    field = Field(lambda x, t: x, lambda x, t: torch.sin(3 * x))
    guided = replace(APG, end=0.5)
    denoise(field, x, linear(4, 1.0), guidance=guided, solver=heun, on_step=steps.append)
    # The steps at progress 0, 0.25 and 0.5 are guided in both evaluations, even where the second is at 0.75.
    assert [unconditional for _, unconditional in field.calls] == [True] * 6 + [False] * 2
    guide, expected = guided.begin(), x
    for step in steps:
        velocity = field.cond(expected, step.t)
        if step.index < 3:
            velocity = guide.combine(velocity, field.uncond(expected, step.t), expected, step.t)
        torch.testing.assert_close(step.x0, expected - step.t * velocity, rtol=0, atol=1e-12)
        expected = step.x


def test_the_solver_table():
    assert get_solver("euler") is euler
    assert not SOLVERS["euler"].stochastic
    with pytest.raises(ValueError, match="'eular'; known: euler"):
        get_solver("eular")

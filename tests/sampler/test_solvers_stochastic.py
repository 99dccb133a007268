"""Stochastic solvers: their distributions, and that the seed alone determines their noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import APG
from torch import Tensor

from acestep_xl.sampler.denoise import denoise
from acestep_xl.sampler.noise import draw
from acestep_xl.sampler.schedule import linear
from acestep_xl.sampler.solver import SOLVERS, make_solver
from acestep_xl.sampler.solvers.stochastic import fresh_noise

STOCHASTIC = [name for name, kind in SOLVERS.items() if kind.stochastic]
ETAS = [1.0, 0.5, 0.1]
MEAN = 0.7
SEEDS = [11, 12, 13, 2**40]

Velocity = Callable[[Tensor, float], Tensor]


def steps(name: str, eta: float, velocity: Velocity, x: Tensor, sigmas: list[float], seeds=SEEDS) -> list[Tensor]:
    """x after every step."""
    stepper, results = make_solver(name, seeds, eta)(), []
    for t, t_next in pairwise(sigmas):
        x = stepper(velocity, x, t, t_next)
        results.append(x)
    return results


def noise_batch(frames: int = 250) -> Tensor:
    return draw([1, 2, 3, 4], frames, 64)


def towards(spread: float) -> Velocity:
    """The exact velocity of a flow to N(MEAN, spread^2)."""

    def velocity(x: Tensor, t: float) -> Tensor:
        variance = t * t + (1 - t) ** 2 * spread**2
        return (t - (1 - t) * spread**2) / variance * (x - (1 - t) * MEAN) - MEAN

    return velocity


def curved(x: Tensor, t: float) -> Tensor:
    return x * (1.2 - t) - 0.1 * x * x


@pytest.mark.parametrize("eta", ETAS)
@pytest.mark.parametrize("name", STOCHASTIC)
def test_towards_one_data_point_every_level_has_its_mean_and_variance(name, eta):
    # With a single data point, x at level t is N((1 - t) m, t^2) whatever the steps, if the noise is right.
    sigmas = [1.0, 0.93, 0.9, 0.6, 0.2, 0.15, 0.01, 0.0]
    for t, x in zip(sigmas[1:], steps(name, eta, towards(0.0), noise_batch(), sigmas), strict=True):
        assert abs(float(x.mean()) - (1 - t) * MEAN) < 0.02 * t + 1e-6
        assert abs(float(x.var()) - t * t) <= 0.02 * t * t + 1e-9


@pytest.mark.parametrize("eta", ETAS)
@pytest.mark.parametrize(("name", "count"), [("euler_ancestral", 600), ("dpmpp_2m_sde", 100)])
def test_gaussian_data_keep_their_mean_and_variance(name, count, eta):
    spread = 0.8
    end = steps(name, eta, towards(spread), noise_batch(), linear(count, 1.0))[-1]
    assert abs(float(end.mean()) - MEAN) < 0.02 * spread
    assert abs(float(end.var()) / spread**2 - 1) < 0.02


@pytest.mark.parametrize("count", [4, 20, 80])
@pytest.mark.parametrize("eta", [1.0, 0.5])
def test_the_variance_that_sde_leaves(eta, count):
    # With g the weight of x in the clean estimate, every step is linear in x, so the variance has a recurrence.
    spread, variance, sigmas = 0.8, 1.0, linear(count, 1.0)
    for t, t_next in pairwise(sigmas):
        g = (1 - t) * spread**2 / (t * t + (1 - t) ** 2 * spread**2)
        noise = (1 - (1 - t) * g) / t
        factor = (1 - t_next) * g + t_next * math.sqrt(1 - eta**2) * noise
        variance = factor**2 * variance + (t_next * eta) ** 2
    end = steps("sde", eta, towards(spread), noise_batch(), sigmas)[-1]
    assert abs(float(end.mean()) - MEAN) < 0.02
    assert abs(float(end.var()) / variance - 1) < 0.02
    if (eta, count) == (1.0, 80):  # as its docstring says
        assert abs(float(end.var()) / spread**2 - 0.5) < 0.03


def test_sde_renoises_the_clean_estimate_to_the_schedule_s_level():
    sigmas, x = linear(6, 3.0), noise_batch(8)
    fresh = fresh_noise(SEEDS)
    for (t, t_next), result in zip(pairwise(sigmas), steps("sde", 1.0, curved, x, sigmas), strict=True):
        x0 = x - t * curved(x, t)
        expected = x0 if t_next == 0 else t_next * fresh(x) + (1 - t_next) * x0
        torch.testing.assert_close(result, expected)
        x = result


@pytest.mark.parametrize(("eta", "t_down"), [(1.0, 0.36 / 0.9), (0.5, (0.36 / 0.9 + 0.6) / 2)])
def test_euler_ancestral_goes_down_to_k_diffusion_s_level(eta, t_down):
    # At eta 1 to t_next^2 / t, as in ancestral sampling of diffusion models.
    x, scale = noise_batch(8), 0.4 / (1 - t_down)
    (result,) = steps("euler_ancestral", eta, curved, x, [0.9, 0.6])
    down = x - (0.9 - t_down) * curved(x, 0.9)
    expected = scale * down + math.sqrt(0.36 - (scale * t_down) ** 2) * fresh_noise(SEEDS)(x)
    torch.testing.assert_close(result, expected)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # from inside diffusers
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_dpmpp_2m_sde_steps_match_diffusers(shift):
    sigmas, x, fresh = linear(12, shift), noise_batch(8).double(), fresh_noise(SEEDS)
    scheduler = DPMSolverMultistepScheduler(
        algorithm_type="sde-dpmsolver++", solver_order=2, prediction_type="flow_prediction", use_flow_sigmas=True
    )
    scheduler.set_timesteps(12)
    scheduler.sigmas, scheduler.timesteps = torch.tensor(sigmas, dtype=torch.float64), torch.arange(12)
    scheduler._step_index = 0
    expected = x
    for timestep, t in zip(scheduler.timesteps, sigmas[:-1], strict=True):
        noise, velocity = fresh(x), curved(expected, t)
        expected = scheduler.step(velocity, timestep, expected, variance_noise=noise, return_dict=False)[0]
    actual = steps("dpmpp_2m_sde", 1.0, curved, x, sigmas)[-1]
    torch.testing.assert_close(
        actual, expected, rtol=0, atol=1e-5
    )  # the reference rounds intermediate values to float32


@pytest.mark.parametrize(
    ("name", "counterpart"), [("euler_ancestral", "euler"), ("sde", "euler"), ("dpmpp_2m_sde", "dpmpp_2m")]
)
@pytest.mark.parametrize("sigmas", [linear(9, 3.0), [0.6, 0.5, 0.1, 0.0], [1.0, 0.0]])
def test_eta_0_is_the_deterministic_counterpart(name, counterpart, sigmas):
    x = noise_batch(4).double()
    end = steps(name, 0.0, curved, x, sigmas)[-1]
    torch.testing.assert_close(end, steps(counterpart, 0.0, curved, x, sigmas)[-1], rtol=0, atol=1e-12)
    assert SOLVERS[name].order == SOLVERS[counterpart].order


@pytest.mark.parametrize("name", STOCHASTIC)
def test_one_seed_one_result_on_any_number_of_threads(name):
    def run(threads: int) -> Tensor:
        torch.set_num_threads(threads)
        return steps(name, 1.0, curved, noise_batch(600), linear(3, 3.0))[-1]

    threads = torch.get_num_threads()
    try:
        assert torch.equal(run(1), run(2))
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_an_item_does_not_depend_on_its_batch(name):
    x, sigmas = noise_batch(20), linear(5, 3.0)
    batch = steps(name, 1.0, curved, x, sigmas)[-1]
    for items in ([0], [3], [2, 0], [3, 2, 1, 0], [1, 1, 2]):
        selected = steps(name, 1.0, curved, x[items], sigmas, [SEEDS[i] for i in items])[-1]
        assert torch.equal(selected, batch[items])


@pytest.mark.parametrize("name", STOCHASTIC)
def test_a_guided_run_is_repeatable_and_leaves_the_global_generator_alone(name):
    def predictor(x: Tensor, t: float, *, unconditional: bool) -> tuple[Tensor, Tensor]:
        return curved(x, t), torch.sin(x)

    solver = make_solver(name, SEEDS, 1.0)

    def run() -> Tensor:
        return denoise(predictor, noise_batch(20), linear(6, 3.0), guidance=APG, solver=solver)

    first = run()
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    assert torch.equal(run(), first)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_other_seeds_draw_other_noise(name):
    sigmas = linear(4, 3.0)
    one = steps(name, 1.0, curved, noise_batch(20), sigmas)[-1]
    other = steps(name, 1.0, curved, noise_batch(20), sigmas, [11, 99, 13, 2**40])[-1]
    assert [torch.equal(a, b) for a, b in zip(one, other, strict=True)] == [True, False, True, True]


def test_step_noise_is_unrelated_between_items_steps_and_the_initial_noise():
    fresh = fresh_noise([5, 6, 5 + 2**32])
    x = draw([5, 6, 5 + 2**32], 500, 64)
    noise = torch.cat([x, *(fresh(x) for _ in range(4))]).flatten(1)
    correlation = torch.corrcoef(noise) - torch.eye(len(noise))
    assert correlation.abs().max() < 5 / math.sqrt(noise.shape[1])
    assert (noise.var(dim=1) - 1).abs().max() < 0.04


@pytest.mark.parametrize("name", STOCHASTIC)
@pytest.mark.parametrize("sigmas", [[1.0, 0.0], [0.4, 0.0]])
def test_the_step_to_0_adds_no_noise(name, sigmas):
    x = noise_batch(4)
    (end,) = steps(name, 1.0, curved, x, sigmas)
    torch.testing.assert_close(end, x - sigmas[0] * curved(x, sigmas[0]))
    assert torch.equal(end, steps(name, 1.0, curved, x, sigmas, [0, 0, 0, 0])[0])


@given(st.lists(st.floats(1e-7, 0.9999), max_size=20, unique=True), st.sampled_from(STOCHASTIC), st.floats(0, 1))
@settings(deadline=None, max_examples=80)
def test_any_levels_and_any_eta_give_finite_values(inner, name, eta):
    end = steps(name, eta, towards(0.5), noise_batch(1), [1.0, *sorted(inner, reverse=True), 0.0])[-1]
    assert end.isfinite().all()


@pytest.mark.parametrize("name", STOCHASTIC)
def test_300_steps_reach_the_data_point(name):
    end = steps(name, 1.0, towards(0.0), noise_batch(4), linear(300, 3.0))[-1]
    torch.testing.assert_close(end, torch.full_like(end, MEAN), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_other_ranks_work(name):
    x = draw([1, 2], 6, 20)
    flat = steps(name, 1.0, curved, x, linear(4, 3.0), [1, 2])[-1]
    square = steps(name, 1.0, curved, x.reshape(2, 6, 4, 5), linear(4, 3.0), [1, 2])[-1]
    assert torch.equal(square.reshape(2, 6, 20), flat)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_one_seed_per_item_is_required(name):
    with pytest.raises(ValueError, match="3 seeds for 4 items"):
        steps(name, 1.0, curved, noise_batch(4), [1.0, 0.5, 0.0], [1, 2, 3])


@pytest.mark.parametrize("eta", [-0.1, 1.1, math.nan])
@pytest.mark.parametrize("name", STOCHASTIC)
def test_eta_out_of_range_is_rejected(name, eta):
    with pytest.raises(ValueError, match=f"eta is {eta}, allowed 0"):
        make_solver(name, SEEDS, eta)

"""The accuracy of solvers on flows with known solutions: orders of convergence, exactness, agreement with diffusers."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from flows import (
    DETERMINISTIC,
    FLOWS,
    LEVELS,
    LOG_SNR,
    Flow,
    Velocity,
    by_scipy,
    curved,
    levels,
    start,
    steps,
)
from hypothesis import given, settings
from scipy.integrate import quad
from torch import Tensor

from acestep_xl.sampler.schedule import linear
from acestep_xl.sampler.solver import SOLVERS, get_solver

OVER_TIME = [name for name in DETERMINISTIC if name not in LOG_SNR]


def evenly_spaced(high: float, low: float, count: int) -> list[float]:
    return [*(high - (high - low) * i / count for i in range(count)), low]


def observed_orders(name: str, flow: Flow, schedules: list[list[float]]) -> list[float]:
    """Convergence orders from schedules that double the number of steps."""
    x = start()
    exact = flow.exact(x, schedules[0][0], schedules[0][-1])
    errors = [float((steps(name, flow.velocity, x, sigmas)[-1] - exact).norm()) for sigmas in schedules]
    return [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]


def counts(name: str) -> list[int]:
    """Numbers of steps that leave the error above rounding."""
    return {4: [80, 160, 320], 3: [150, 300, 600]}.get(SOLVERS[name].order, [100, 200, 400])


def is_of_order(name: str, field: str, schedules: list[list[float]]) -> bool:
    orders = observed_orders(name, FLOWS[field], schedules)
    excess = [order - SOLVERS[name].order for order in orders]
    # On this flow midpoint happens to have order 3.
    limit = 1.2 if (field, name) == ("gaussian", "midpoint") else 0.2
    return all(-0.2 < e < limit for e in excess)


@pytest.mark.parametrize("field", FLOWS)
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_order_between_inner_levels(name, field):
    assert is_of_order(name, field, [evenly_spaced(0.9, 0.1, n) for n in counts(name)])


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("field", FLOWS)
@pytest.mark.parametrize("name", OVER_TIME)
def test_order_of_a_whole_run(name, field, shift):
    assert is_of_order(name, field, [linear(n, shift) for n in counts(name)])


@pytest.mark.parametrize("field", FLOWS)
@pytest.mark.parametrize(("name", "logarithms"), [("dpmpp_2m", 1), ("dpmpp_3m", 0), ("unipc", 0)])
def test_order_of_a_whole_run_over_the_signal_to_noise_ratio(name, logarithms, field):
    # The error falls as log(n) / n^2 or 1 / n^2: without the logarithm's share the observed order is 2.
    numbers = [400, 800, 1600]
    orders = observed_orders(name, FLOWS[field], [linear(n, 1.0) for n in numbers])
    expected = [2 - logarithms * math.log2(math.log(b) / math.log(a)) for a, b in pairwise(numbers)]
    assert all(abs(order - e) < 0.2 for order, e in zip(orders, expected, strict=True)), orders


@given(levels())
@settings(deadline=None, max_examples=40)
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_a_straight_path_is_exact_on_any_levels(name, sigmas):
    velocity, x = start(1), start(2)
    end = steps(name, lambda x, t: velocity, x, sigmas)[-1]
    torch.testing.assert_close(end, x - sigmas[0] * velocity, rtol=0, atol=1e-9)


@given(levels())
@settings(deadline=None, max_examples=40)
@pytest.mark.parametrize("name", LOG_SNR)
def test_a_constant_clean_estimate_is_exact_for_any_x(name, sigmas):
    # x is changed between steps, and every step must be exact from the changed x.
    data, x = start(1), start(2)
    stepper = get_solver(name)()
    for t, t_next in pairwise(sigmas):
        result = stepper(lambda x, t: (x - data) / t, x, t, t_next)
        torch.testing.assert_close(result, data + (x - data) * (t_next / t), rtol=0, atol=1e-9)
        x = result + 0.25
    torch.testing.assert_close(x, data + 0.25, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("name", "degree"), [("ab2", 1), ("ab3", 2)])
def test_adams_bashforth_is_exact_on_a_velocity_polynomial_in_t(name, degree):
    def integral(t: float) -> float:
        return 0.3 * t + 0.5 * t**2 - degree // 2 * 0.9 * t**3

    results = steps(name, lambda x, t: torch.full_like(x, 0.3 + t - degree // 2 * 2.7 * t**2), 0 * start(), LEVELS)
    for i in range(degree + 1, len(results)):  # from the first step with a velocity per coefficient
        change = integral(LEVELS[i]) - integral(LEVELS[i + 1])
        torch.testing.assert_close(results[i], results[i - 1] - change, rtol=0, atol=1e-12)


def test_ab3_corrects_its_first_step_in_the_second():
    results = steps("ab3", lambda x, t: torch.full_like(x, 0.3 + t), 0 * start(), LEVELS)
    for t, x in zip(LEVELS[2:], results[1:], strict=True):
        change = 0.3 * (LEVELS[0] - t) + (LEVELS[0] ** 2 - t**2) / 2
        torch.testing.assert_close(x, torch.full_like(x, -change), rtol=0, atol=1e-12)


def test_dpmpp_3m_is_exact_on_an_estimate_quadratic_in_the_signal_to_noise_ratio():
    def estimate(t: float) -> float:
        ratio = math.log((1 - t) / t)
        return 0.3 - 0.2 * ratio + 0.4 * ratio**2

    # d(x / t) / dt = -x0 / t^2, integrated in t rather than in the ratio.
    results = steps("dpmpp_3m", lambda x, t: (x - estimate(t)) / t, start(), LEVELS)
    for i in range(2, len(results) - 1):
        t, t_next = LEVELS[i], LEVELS[i + 1]
        increment = t_next * quad(lambda s: estimate(s) / s**2, t_next, t, epsabs=1e-13)[0]
        torch.testing.assert_close(results[i], t_next / t * results[i - 1] + increment, rtol=0, atol=1e-11)


def by_diffusers(scheduler, velocity: Velocity, x: Tensor, sigmas: list[float]) -> Tensor:
    scheduler.set_timesteps(len(sigmas) - 1)
    scheduler.sigmas = torch.tensor(sigmas, dtype=torch.float64)
    scheduler.timesteps = torch.arange(len(sigmas) - 1)
    scheduler._step_index = 0
    for timestep, t in zip(scheduler.timesteps, sigmas[:-1], strict=True):
        x = scheduler.step(velocity(x, t), timestep, x, return_dict=False)[0]
    return x


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # from inside diffusers
@pytest.mark.parametrize("sigmas", [linear(20, 1.0), linear(20, 3.0), LEVELS], ids=["even", "shifted", "irregular"])
@pytest.mark.parametrize(
    ("name", "reference"), [("dpmpp_2m", DPMSolverMultistepScheduler), ("unipc", UniPCMultistepScheduler)]
)
def test_steps_match_diffusers(name, reference, sigmas):
    scheduler = reference(solver_order=2, prediction_type="flow_prediction", use_flow_sigmas=True)
    expected = by_diffusers(scheduler, curved, start(), sigmas)
    # The reference rounds intermediate values to float32.
    torch.testing.assert_close(steps(name, curved, start(), sigmas)[-1], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_300_steps_reach_the_solution(name):
    x = start()
    end = steps(name, curved, x, linear(300, 3.0))[-1]
    torch.testing.assert_close(end, by_scipy(x, 1.0, 0.0), rtol=0, atol=2e-2 if name == "euler" else 2e-3)

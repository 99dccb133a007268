"""Solvers on flows with known solutions: order, exactness, evaluations, state."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad, solve_ivp
from torch import Tensor

from acestep_xl import parameters
from acestep_xl.sampler.denoise import Step, denoise
from acestep_xl.sampler.guidance import Guidance
from acestep_xl.sampler.noise import draw
from acestep_xl.sampler.schedule import linear
from acestep_xl.sampler.solver import SOLVERS, euler, get_solver, make_solver
from acestep_xl.sampler.solvers.interpolation import weights

APG = Guidance("apg", 7.0, 0.0, 1.0, -0.75, 2.5, 0.0, 3.14 / 6, "standard")
DETERMINISTIC = [name for name, kind in SOLVERS.items() if not kind.stochastic]
# These integrate over the log signal-to-noise ratio, which is infinite at both ends of a run.
LOG_SNR = ["dpmpp_2m", "dpmpp_3m", "unipc"]
OVER_TIME = [name for name in DETERMINISTIC if name not in LOG_SNR]
MEAN, SPREAD = 0.4, 0.6

Velocity = Callable[[Tensor, float], Tensor]


@dataclass
class Field:
    """A velocity that records its evaluations."""

    velocity: Velocity

    def __post_init__(self) -> None:
        self.calls: list[float] = []

    def __call__(self, x: Tensor, t: float) -> Tensor:
        self.calls.append(t)
        return self.velocity(x, t)


def steps(name: str, velocity: Velocity, x: Tensor, sigmas: list[float]) -> list[Tensor]:
    """x after every step."""
    stepper, results = make_solver(name, range(x.shape[0]), 1.0)(), []
    for t, t_next in pairwise(sigmas):
        x = stepper(velocity, x, t, t_next)
        results.append(x)
    return results


def start(seed: int = 3) -> Tensor:
    return draw([seed], 6, 4).double()


def evenly_spaced(high: float, low: float, count: int) -> list[float]:
    return [*(high - (high - low) * i / count for i in range(count)), low]


@dataclass(frozen=True)
class Flow:
    """A velocity and its exact solution from one level to another."""

    velocity: Velocity
    exact: Callable[[Tensor, float, float], Tensor]


def growth(x: Tensor, t: float) -> Tensor:
    return (0.7 + 1.3 * t) * x


def growth_solution(x: Tensor, high: float, low: float) -> Tensor:
    return x * math.exp(0.7 * (low - high) + 0.65 * (low**2 - high**2))


def std_at(t: float) -> float:
    """Standard deviation at level t of a flow towards N(MEAN, SPREAD^2)."""
    return math.sqrt(t * t + (1 - t) ** 2 * SPREAD**2)


def gaussian(x: Tensor, t: float) -> Tensor:
    return (t - (1 - t) * SPREAD**2) / std_at(t) ** 2 * (x - (1 - t) * MEAN) - MEAN


def gaussian_solution(x: Tensor, high: float, low: float) -> Tensor:
    return (1 - low) * MEAN + std_at(low) / std_at(high) * (x - (1 - high) * MEAN)


def curved(x: Tensor, t: float) -> Tensor:
    return torch.sin(3 * x + 2 * t) + 0.5 * x * t


@lru_cache
def _by_scipy(values: tuple[float, ...], high: float, low: float) -> np.ndarray:
    def right(t: float, y: np.ndarray) -> np.ndarray:
        return curved(torch.from_numpy(y), t).numpy()

    return solve_ivp(right, (high, low), values, method="DOP853", rtol=3e-14, atol=1e-14).y[:, -1]


def by_scipy(x: Tensor, high: float, low: float) -> Tensor:
    return torch.from_numpy(_by_scipy(tuple(x.flatten().tolist()), high, low)).reshape(x.shape)


FLOWS = {
    "linear": Flow(growth, growth_solution),
    "gaussian": Flow(gaussian, gaussian_solution),
    "curved": Flow(curved, by_scipy),
}


def observed_orders(name: str, flow: Flow, schedules: list[list[float]]) -> list[float]:
    """Convergence orders from schedules that double the number of steps."""
    x = start()
    exact = flow.exact(x, schedules[0][0], schedules[0][-1])
    errors = [float((steps(name, flow.velocity, x, sigmas)[-1] - exact).norm()) for sigmas in schedules]
    return [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]


def counts(name: str) -> list[int]:
    """As many steps as leave the error above rounding."""
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


def levels(max_inner: int = 40) -> st.SearchStrategy[list[float]]:
    """Decreasing levels with arbitrary spacing, from 1 or below down to 0."""
    inner = st.lists(st.integers(1, 999), min_size=0, max_size=max_inner, unique=True)
    return st.tuples(inner, st.sampled_from([1.0, 0.9995])).map(
        lambda pair: [pair[1], *(i / 1000 for i in sorted(pair[0], reverse=True)), 0.0]
    )


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


LEVELS = [0.97, 0.9, 0.66, 0.61, 0.3, 0.24, 0.05, 0.0]


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


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_300_steps_reach_the_solution(name):
    x = start()
    end = steps(name, curved, x, linear(300, 3.0))[-1]
    torch.testing.assert_close(end, by_scipy(x, 1.0, 0.0), rtol=0, atol=2e-2 if name == "euler" else 2e-3)


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
    # The velocity does not depend on x, so whatever is added between steps remains at the end.
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

"""Schedule formulas, each against its defining property."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import mpmath  # comes with torch
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from acestep_xl.sampler.schedule import check, get_schedule
from acestep_xl.sampler.schedules.shifted import beta_quantile

STEPS = st.integers(1, 300)
STARTS = st.floats(0.1, 1.0)
TERMINALS = st.floats(1e-4, 0.05)
SHIFTS = st.floats(0.1, 10.0)

Levels = list[float]
FROM_NOISE: dict[str, Callable[[int], Levels]] = {
    "linear": lambda n: get_schedule("linear")(n, shift=3.0, start=1.0),
    "sgm_uniform": lambda n: get_schedule("sgm_uniform")(n, shift=3.0, terminal=0.003, start=1.0),
    "karras": lambda n: get_schedule("karras")(n, rho=7.0, terminal=0.003, start=1.0),
    "exponential": lambda n: get_schedule("exponential")(n, terminal=0.003, start=1.0),
    "beta": lambda n: get_schedule("beta")(n, alpha=0.6, beta=0.6, shift=3.0, start=1.0),
    "linear_quadratic": lambda n: get_schedule("linear_quadratic")(n, threshold=0.025, start=1.0),
    "kl_optimal": lambda n: get_schedule("kl_optimal")(n, terminal=0.003, start=1.0),
    "log_snr_uniform": lambda n: get_schedule("log_snr_uniform")(n, terminal=0.003, start=1.0),
}
# ComfyUI 0.20.1 at shift 3 to four digits. Its lowest level is 0.002994, and its beta is rounded to a table.
COMFYUI = {
    "linear": [1, 0.9643, 0.9231, 0.875, 0.8182, 0.75, 0.6667, 0.5625, 0.4286, 0.25, 0],
    "sgm_uniform": [1, 0.9644, 0.9233, 0.8755, 0.8189, 0.7511, 0.6683, 0.5649, 0.4322, 0.2556, 0],
    "beta": [1, 0.9863, 0.9553, 0.9076, 0.8409, 0.7507, 0.6309, 0.4796, 0.2981, 0.1137, 0],
    "linear_quadratic": [1, 0.995, 0.99, 0.985, 0.98, 0.975, 0.932, 0.813, 0.618, 0.347, 0],
    "kl_optimal": [1, 0.8397, 0.7012, 0.5787, 0.4679, 0.3659, 0.2701, 0.1787, 0.0902, 0.003, 0],
    "karras": [1, 0.6357, 0.3916, 0.2327, 0.1326, 0.072, 0.0368, 0.0176, 0.0077, 0.003, 0],
    "exponential": [1, 0.5243, 0.2749, 0.1441, 0.0756, 0.0396, 0.0208, 0.0109, 0.0057, 0.003, 0],
}


@pytest.mark.parametrize("name", COMFYUI)
def test_ten_steps_of_comfyui(name: str) -> None:
    assert FROM_NOISE[name](10) == pytest.approx(COMFYUI[name], abs=4e-3 if name == "beta" else 2e-4)


@pytest.mark.parametrize("name", FROM_NOISE)
@settings(deadline=None)
@given(steps=STEPS)
def test_decreases_from_exactly_1_to_exactly_0(name: str, steps: int) -> None:
    check_levels(FROM_NOISE[name](steps), steps, 1.0)


@pytest.mark.parametrize("name", FROM_NOISE)
def test_one_step_goes_from_1_to_0(name: str) -> None:
    assert FROM_NOISE[name](1) == [1.0, 0.0]


@settings(deadline=None)
@given(steps=STEPS, start=STARTS, shift=SHIFTS, terminal=TERMINALS, rho=st.floats(1.0, 100.0), alpha=st.floats(0.5, 50))
def test_decreases_from_any_start(
    steps: int, start: float, shift: float, terminal: float, rho: float, alpha: float
) -> None:
    check_levels(get_schedule("linear")(steps, shift=shift, start=start), steps, start)
    check_levels(get_schedule("karras")(steps, rho=rho, terminal=terminal, start=start), steps, start)
    check_levels(get_schedule("exponential")(steps, terminal=terminal, start=start), steps, start)
    check_levels(get_schedule("kl_optimal")(steps, terminal=terminal, start=start), steps, start)
    check_levels(get_schedule("log_snr_uniform")(steps, terminal=terminal, start=start), steps, start)
    check_levels(get_schedule("beta")(steps, alpha=alpha, beta=0.5, shift=shift, start=start), steps, start)
    check_levels(get_schedule("beta")(steps, alpha=0.5, beta=alpha, shift=shift, start=start), steps, start)
    assume(terminal < before_shift(start, shift))
    check_levels(get_schedule("sgm_uniform")(steps, shift=shift, terminal=terminal, start=start), steps, start)


@given(steps=STEPS, start=STARTS, threshold=st.floats(0.001, 0.4999))
def test_linear_quadratic_decreases_for_any_threshold_below_a_half(steps: int, start: float, threshold: float) -> None:
    check_levels(get_schedule("linear_quadratic")(steps, threshold=threshold, start=start), steps, start)


def check_levels(levels: Levels, steps: int, start: float) -> None:
    assert len(levels) == steps + 1 and all(type(t) is float for t in levels)
    assert levels[0] == start and levels[-1] == 0
    check(levels)
    assert all(a > b for a, b in pairwise(np.array(levels, np.float32).tolist()))  # SIGMAS are float32


@given(st.integers(2, 300), STARTS, SHIFTS)
def test_linear_is_evenly_spaced_before_the_shift(steps: int, start: float, shift: float) -> None:
    times = [before_shift(t, shift) for t in get_schedule("linear")(steps, shift=shift, start=start)]
    assert times == pytest.approx(np.linspace(before_shift(start, shift), 0, steps + 1), abs=1e-12)


@given(st.integers(1, 60), st.integers(1, 5), SHIFTS)
def test_linear_from_a_start_is_the_tail_of_a_longer_one(steps: int, times: int, shift: float) -> None:
    tail = get_schedule("linear")(steps * times, shift=shift, start=1.0)[-steps - 1 :]
    assert get_schedule("linear")(steps, shift=shift, start=tail[0]) == pytest.approx(tail, abs=1e-12)


@given(st.integers(2, 300), STARTS, st.floats(1.0, 10.0), st.floats(1e-4, 0.009))
def test_sgm_uniform_is_evenly_spaced_towards_the_terminal(
    steps: int, start: float, shift: float, terminal: float
) -> None:
    levels = get_schedule("sgm_uniform")(steps, shift=shift, terminal=terminal, start=start)
    times = [before_shift(t, shift) for t in levels[:-1]] + [terminal]
    assert times == pytest.approx(np.linspace(before_shift(start, shift), terminal, steps + 1), abs=1e-12)


@given(st.integers(2, 300), st.floats(1.0, 20.0), STARTS, TERMINALS)
def test_karras_is_evenly_spaced_in_its_root(steps: int, rho: float, start: float, terminal: float) -> None:
    levels = np.array(get_schedule("karras")(steps, rho=rho, terminal=terminal, start=start))
    assert levels[-2] == pytest.approx(terminal, rel=1e-12)
    assert levels[:-1] ** (1 / rho) == pytest.approx(np.linspace(start ** (1 / rho), terminal ** (1 / rho), steps))


@given(st.integers(2, 300), STARTS, TERMINALS)
def test_exponential_is_a_geometric_series(steps: int, start: float, terminal: float) -> None:
    levels = get_schedule("exponential")(steps, terminal=terminal, start=start)
    np.testing.assert_allclose(levels[:-1], np.geomspace(start, terminal, steps), rtol=1e-11)


def test_karras_lies_between_even_and_exponential() -> None:
    even, steep = (get_schedule("karras")(20, rho=rho, terminal=0.003, start=1.0) for rho in (1.0, 1e6))
    assert even[:-1] == pytest.approx(np.linspace(1, 0.003, 20), abs=1e-12)
    assert steep == pytest.approx(get_schedule("exponential")(20, terminal=0.003, start=1.0), rel=1e-4)


@given(st.integers(2, 300), STARTS, TERMINALS)
def test_kl_optimal_is_evenly_spaced_in_the_angle(steps: int, start: float, terminal: float) -> None:
    levels = get_schedule("kl_optimal")(steps, terminal=terminal, start=start)
    assert np.arctan(levels[:-1]) == pytest.approx(np.linspace(np.arctan(start), np.arctan(terminal), steps), abs=1e-12)


@given(st.integers(3, 300), STARTS, TERMINALS)
def test_log_snr_uniform_is_evenly_spaced_in_the_ratio(steps: int, start: float, terminal: float) -> None:
    inner = np.array(get_schedule("log_snr_uniform")(steps, terminal=terminal, start=start)[1:-1])
    first = min(start, 1 - terminal)
    even = np.linspace(np.log(first / (1 - first)), np.log(terminal / (1 - terminal)), steps)
    np.testing.assert_allclose(np.log(inner / (1 - inner)), even[1:], atol=1e-9)


def test_log_snr_uniform_from_noise_is_symmetric() -> None:
    levels = np.array(get_schedule("log_snr_uniform")(40, terminal=0.01, start=1.0))
    np.testing.assert_allclose(levels[1:39] + levels[1:39][::-1], 1, atol=1e-12)
    assert levels[0] == 1 and levels[-2] == pytest.approx(0.01, rel=1e-12)


@given(st.integers(2, 300), st.floats(0.001, 0.45), STARTS)
def test_linear_quadratic_joins_a_line_and_a_tangent_parabola(steps: int, threshold: float, start: float) -> None:
    removed = 1 - np.array(get_schedule("linear_quadratic")(steps, threshold=threshold, start=start)) / start
    middle = steps // 2
    np.testing.assert_allclose(removed[: middle + 1], np.linspace(0, threshold, middle + 1), atol=1e-12)
    # The parabola through (middle, threshold) with the line's slope there and through (steps, 1).
    rows = [[middle**2, middle, 1], [2 * middle, 1, 0], [steps**2, steps, 1]]
    parabola = np.linalg.solve(np.array(rows, float), np.array([threshold, threshold / middle, 1]))
    np.testing.assert_allclose(removed[middle:], np.polyval(parabola, np.arange(middle, steps + 1)), atol=1e-7)


@pytest.mark.parametrize(("alpha", "beta"), [(0.6, 0.6), (0.5, 2.0), (3.0, 0.7), (1.0, 0.4), (12.0, 9.0)])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_beta_times_are_quantiles(alpha: float, beta: float, shift: float) -> None:
    levels = get_schedule("beta")(12, alpha=alpha, beta=beta, shift=shift, start=1.0)
    below = [float(mpmath.betainc(alpha, beta, 0, before_shift(t, shift), regularized=True)) for t in levels]
    assert below == pytest.approx([1 - i / 12 for i in range(13)], abs=1e-9)


@settings(deadline=None)
@given(STEPS, SHIFTS, STARTS)
def test_a_uniform_beta_is_linear(steps: int, shift: float, start: float) -> None:
    flat = get_schedule("beta")(steps, alpha=1.0, beta=1.0, shift=shift, start=start)
    assert flat == pytest.approx(get_schedule("linear")(steps, shift=shift, start=start), abs=1e-12)


@pytest.mark.parametrize("p", [1e-6, 0.003, 0.2, 0.5, 0.8, 0.999])
def test_quantiles_in_closed_form(p: float) -> None:
    assert beta_quantile(p, 0.5, 0.5) == pytest.approx(math.sin(math.pi * p / 2) ** 2, rel=1e-12)
    for a in (0.02, 0.3, 1.0, 2.5, 50.0):
        assert beta_quantile(p, a, 1.0) == pytest.approx(p ** (1 / a), rel=1e-11)
        assert 1 - beta_quantile(p, 1.0, a) == pytest.approx((1 - p) ** (1 / a), abs=1e-14)


@given(st.floats(0.001, 0.999), st.floats(0.05, 50.0), st.floats(0.05, 50.0))
def test_quantiles_are_symmetric(p: float, a: float, b: float) -> None:
    assert beta_quantile(p, a, b) == pytest.approx(1 - beta_quantile(1 - p, b, a), abs=1e-13)


@pytest.mark.parametrize("make", FROM_NOISE.values(), ids=FROM_NOISE)
def test_zero_steps_are_rejected(make: Callable[[int], Levels]) -> None:
    with pytest.raises(ValueError, match=r"schedule: steps is 0, it must be at least 1"):
        make(0)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: get_schedule("linear")(0, shift=-1.0, start=2.0), r"steps is 0.*start is 2\.0.*shift is -1\.0"),
        (lambda: get_schedule("linear")(4, shift=math.nan, start=1.0), "shift is nan"),
        (lambda: get_schedule("linear")(4, shift=1.0, start=0.0), "start is 0.0, it must be above 0 and at most 1"),
        (
            lambda: get_schedule("karras")(4, rho=0.0, terminal=0.1, start=1.0),
            "rho is 0.0, it must be a number above 0",
        ),
        (
            lambda: get_schedule("karras")(4, rho=7.0, terminal=0.5, start=0.5),
            r"terminal is 0.5.* below the start \(0.5\)",
        ),
        (lambda: get_schedule("exponential")(4, terminal=0.0, start=1.0), "terminal is 0.0, it must be above 0"),
        (lambda: get_schedule("kl_optimal")(4, terminal=math.nan, start=1.0), "terminal is nan"),
        (
            lambda: get_schedule("log_snr_uniform")(4, terminal=0.6, start=1.0),
            r"below the lower of start and 0.5 \(0.5\)",
        ),
        (lambda: get_schedule("sgm_uniform")(4, shift=3.0, terminal=0.1, start=0.2), r"before the shift \(0.0769"),
        (lambda: get_schedule("beta")(4, alpha=0.0, beta=math.inf, shift=3.0, start=1.0), "alpha is 0.0.*beta is inf"),
        (
            lambda: get_schedule("linear_quadratic")(4, threshold=0.5, start=1.0),
            "threshold is 0.5, it must be below 0.5",
        ),
    ],
)
def test_arguments_outside_a_formula_s_domain_are_rejected(make: Callable[[], Levels], problem: str) -> None:
    with pytest.raises(ValueError, match=f"^schedule: .*{problem}"):
        make()


def before_shift(t: float, shift: float) -> float:
    return t / (shift + (1 - shift) * t)

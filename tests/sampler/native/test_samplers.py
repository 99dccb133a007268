"""The samplers of native graphs on flows with known solutions; ComfyUI's own results are in tests/comfyui."""

from __future__ import annotations

import math
import sys
from itertools import pairwise
from typing import Any

import pytest
import torch
from flows import FLOWS, MEAN, SPREAD, Velocity, gaussian, start
from native_runs import ksampler
from torch import Tensor
from toy_song import run_of

from acestep_xl.sampler.native.levels import FlowLevels
from acestep_xl.sampler.native.sampler_table import SAMPLERS, Sampler, get_sampler
from acestep_xl.sampler.native.samplers.contract import Estimate, Report, Run
from acestep_xl.sampler.native.samplers.fresh_noise import brownian

# They end at the last level above 0 instead of 0.
LEAVE_NOISE = {"dpm_fast", "dpm_adaptive"}
STOCHASTIC = {
    *(name for name in SAMPLERS if "ancestral" in name or "sde" in name or name.startswith(("seeds", "sa_solver"))),
    "lcm",
    "ddpm",
}
# Without fresh noise; a first step of order 1 limits multistep samplers to order 2.
ORDERS = {
    **dict.fromkeys(["euler", "euler_cfg_pp", "ddim", "euler_ancestral", "gradient_estimation"], 1),
    **dict.fromkeys(["heun", "dpm_2", "dpm_2_ancestral", "exp_heun_2_x0", "seeds_2", "dpmpp_2s_ancestral"], 2),
    **dict.fromkeys(["lms", "ipndm", "ipndm_v", "deis", "dpmpp_2m", "dpmpp_2m_cfg_pp", "res_multistep", "uni_pc"], 2),
    **dict.fromkeys(["dpmpp_sde", "dpmpp_2m_sde", "dpmpp_2m_sde_heun", "dpmpp_3m_sde", "uni_pc_bh2"], 2),
    "seeds_3": 3,
}


def run(name: str, velocity: Velocity, x: Tensor, sigmas: Tensor, options: dict[str, Any], seed: int = 3) -> Tensor:
    """A run in the precision of its levels, from x at the first of them."""
    return get_sampler(name).function(run_settings(name, velocity, sigmas, seed=seed), x, **options)


def run_settings(
    name: str, velocity: Velocity, sigmas: Tensor, report: Report = lambda step, x0, x: None, seed: int = 3
) -> Run:
    def denoise(x: Tensor, sigma: Tensor, *, with_unconditional: bool) -> Estimate:
        x0 = x - sigma * velocity(x, float(sigma))
        return Estimate(x0, x0 if with_unconditional else None)

    return Run(denoise, sigmas, FlowLevels(), seed, report, get_sampler(name).with_unconditional)


def without_fresh_noise(name: str) -> dict[str, Any]:
    return {"eta": 0.0} if "eta" in get_sampler(name).options else {}


@pytest.mark.parametrize("field", ["gaussian", "curved"])
@pytest.mark.parametrize("name", ORDERS)
def test_order_between_inner_levels(name, field):
    x, flow, errors = start(), FLOWS[field], []
    for count in (50, 100):
        levels = torch.linspace(0.9, 0.1, count + 1, dtype=torch.float64)
        result = run(name, flow.velocity, x, levels, without_fresh_noise(name))
        errors.append(float((result - flow.exact(x, 0.9, 0.1)).norm()))
    observed = [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]
    # Third-order terms with the opposite sign lower what is observed on the first flow.
    limit = 1.2 if name in ("deis", "dpmpp_3m_sde") and field == "gaussian" else 0.25
    assert all(abs(order - ORDERS[name]) < limit for order in observed), observed


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name not in LEAVE_NOISE])
def test_a_run_to_0_ends_at_the_last_clean_estimate(name):
    song = torch.full((2, 4, 5), 0.3)
    noise = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(1))
    levels = torch.tensor([1.0, 0.8, 0.5, 0.2, 0.0])
    result = run(name, lambda x, t: (x - song) / t, noise, levels, {})
    # uni_pc ends at 0.001, which ``sample`` makes up for.
    torch.testing.assert_close(result, song, rtol=0, atol=3e-3 if name.startswith("uni_pc") else 1e-6)


@pytest.mark.parametrize("name", sorted(LEAVE_NOISE))
def test_dpm_solver_leaves_the_noise_of_the_last_level_above_0(name):
    song, noise = torch.full((1, 4, 5), 0.3), torch.ones(1, 4, 5)
    levels = torch.tensor([1.0, 0.8, 0.5, 0.2, 0.0])
    result = run(name, lambda x, t: (x - song) / t, noise, levels, {})
    torch.testing.assert_close(result, 0.8 * song + 0.2 * noise)


@pytest.mark.parametrize("name", ["dpmpp_2m", "lms", "ipndm_v", "deis", "res_multistep", "er_sde", "sa_solver"])
def test_a_run_that_ends_above_0_is_the_beginning_of_a_longer_one(name):
    x, states = start(), []
    levels = torch.linspace(0.9, 0.1, 9, dtype=torch.float64)
    longer = run_settings(name, gaussian, levels, lambda step, x0, x: states.append(x))
    get_sampler(name).function(longer, x)
    torch.testing.assert_close(run(name, gaussian, x, levels[:6], {}), states[5])


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_seed_gives_the_same_song_again(name):
    settings = run_of(6, "simple", cfg=2.0, seed=4)
    first, again = ksampler(name, {}, settings), ksampler(name, {}, settings)
    assert torch.isfinite(first).all() and torch.equal(first, again)


@pytest.mark.parametrize("name", SAMPLERS)
def test_only_stochastic_samplers_draw_noise_during_the_run(name):
    x, levels = start().float(), torch.tensor([0.9, 0.6, 0.4, 0.1, 0.0])
    one, other = (run(name, gaussian, x, levels, {}, seed=seed) for seed in (3, 4))
    assert torch.equal(one, other) == (name not in STOCHASTIC)


@pytest.mark.parametrize("name", ["euler_ancestral", "dpm_2_ancestral", "dpmpp_2m_sde", "seeds_2", "er_sde"])
def test_fresh_noise_keeps_the_distribution_of_the_data(name):
    noise = torch.randn(1, 100, 300, generator=torch.Generator().manual_seed(2))
    levels = torch.linspace(1, 0, 121)
    result = run(name, gaussian, noise, levels, {})
    assert abs(float(result.mean()) - MEAN) < 0.02
    assert abs(float(result.std()) - SPREAD) < 0.03


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name not in LEAVE_NOISE])
def test_every_step_is_reported_once(name):
    steps, x = [], torch.ones(1, 2, 3)
    kind = get_sampler(name)
    settings = Run(
        lambda x, sigma, *, with_unconditional: Estimate(0.5 * x, 0.5 * x if with_unconditional else None),
        torch.tensor([1.0, 0.7, 0.4, 0.2, 0.0]),
        FlowLevels(),
        0,
        lambda step, x0, x: steps.append(step),
        kind.with_unconditional,
    )
    kind.function(settings, x)
    assert steps == [0, 1, 2, 3]


def test_brownian_noise_of_a_step_is_that_of_its_parts():
    x = torch.zeros(1, 4, 50)
    noise = brownian(x, torch.tensor([1.0, 0.1, 0.0]), 5, False)
    high, middle, low = torch.tensor([0.9, 0.5, 0.2])
    whole = noise(high, low) * (high - low).sqrt()
    parts = noise(high, middle) * (high - middle).sqrt() + noise(middle, low) * (middle - low).sqrt()
    torch.testing.assert_close(whole, parts, rtol=0, atol=1e-5)
    assert 0.8 < float(noise(high, low).std()) < 1.2
    assert torch.equal(noise(low, high), -noise(high, low))


def test_brownian_noise_names_the_package_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchsde", None)
    with pytest.raises(ValueError, match="pip install torchsde"):
        Sampler("dpmpp_2m_sde")


def test_unknown_samplers_and_options_are_named():
    with pytest.raises(ValueError, match=r"unknown sampler 'eular'; known: euler, euler_cfg_pp"):
        Sampler("eular")
    with pytest.raises(ValueError, match=r"sampler lms has no option eta; it has: order"):
        Sampler("lms", {"eta": 0.5})
    with pytest.raises(ValueError, match=r"dpmpp_2m has no option r; it has: none"):
        Sampler("dpmpp_2m", {"r": 0.5})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"order": 4, "h_init": 0.0}, "order is 4, allowed 2, 3; h_init is 0.0"),
        ({"rtol": 0.0, "atol": 0.0}, "rtol is 0.0 and atol is 0.0"),
        ({"accept_safety": 3.0}, "accept_safety is 3.0"),
    ],
)
def test_dpm_adaptive_refuses_settings_with_which_it_never_ends(options, expected):
    with pytest.raises(ValueError, match=expected):
        ksampler("dpm_adaptive", options, run_of(3, "simple"))


@pytest.mark.parametrize("name", ["er_sde", "seeds_2", "dpmpp_2m_sde"])
def test_unknown_solver_types_are_refused(name):
    with pytest.raises(ValueError, match="solver_type is 'other', allowed"):
        ksampler(name, {"solver_type": "other"}, run_of(3, "simple"))

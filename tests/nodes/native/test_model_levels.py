"""ComfyUI's nodes that read the noise levels of a MODEL."""

from __future__ import annotations

import pytest
import torch
from native_nodes import call

from acestep_xl.nodes.native import model_levels
from acestep_xl.sampler.native.levels import FlowLevels
from acestep_xl.sampler.native.schedulers import beta_sampling


@pytest.fixture(autouse=True)
def models_are_their_shift(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_levels, "levels_of", FlowLevels)


def test_levels_are_those_of_the_models_shift() -> None:
    levels = FlowLevels(5.0)
    (by_node,) = call("BetaSamplingScheduler", model=5.0, steps=9, alpha=1.5, beta=0.8)
    assert torch.equal(by_node, beta_sampling(levels, 9, 1.5, 0.8))
    (turbo,) = call("SDTurboScheduler", model=5.0, steps=2, denoise=0.5)
    torch.testing.assert_close(turbo, torch.cat([levels.sigma(torch.tensor([499.0, 399.0])), torch.zeros(1)]))


@pytest.mark.parametrize(
    ("percent", "is_actual", "expected"),
    [
        (0.0, False, 1.0),
        (0.5, False, 0.75),
        (1.0, False, 0.0),
        (0.0, True, 1.0),
        (1.0, True, 0.002994),
        (0.5, True, 0.75),
    ],
)
def test_a_fraction_of_the_time_is_a_level(percent: float, is_actual: bool, expected: float) -> None:
    (level,) = call("SamplingPercentToSigma", model=3.0, sampling_percent=percent, return_actual_sigma=is_actual)
    assert level == pytest.approx(expected, rel=1e-3)


def test_sa_solver_takes_its_fractions_from_the_models_levels() -> None:
    options = {"eta": 0.5, "s_noise": 1.0, "predictor_order": 2, "corrector_order": 3}
    switches = {"use_pece": True, "simple_order_2": False}
    (sampler,) = call("SamplerSASolver", model=3.0, sde_start_percent=0.5, sde_end_percent=1.0, **options, **switches)
    assert sampler.name == "sa_solver"
    assert sampler.options == {**options, **switches, "sde_start_sigma": 0.75, "sde_end_sigma": 0.0}

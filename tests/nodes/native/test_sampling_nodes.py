"""ComfyUI's nodes for noise, samplers and noise levels."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from native_nodes import call
from native_runs import predict
from torch import Tensor
from toy_song import CHANNELS, FRAMES, half_mask, source

from acestep_xl.parameters import native
from acestep_xl.sampler.native import curves
from acestep_xl.sampler.native.levels import FlowLevels
from acestep_xl.sampler.native.noise import prepare_noise
from acestep_xl.sampler.native.sampler_table import SAMPLERS
from acestep_xl.sampler.native.sampling import guide, sample
from acestep_xl.sampler.native.schedulers import SCHEDULERS

SIGMAS = torch.tensor([1.0, 0.7, 0.4, 0.0])


def defaults(class_id: str) -> dict[str, Any]:
    """The widgets' values; of a choice without a default, its first."""
    inputs = native.INPUTS[class_id].items()
    return {
        name: options.get("default", options.get("options", [None])[0])
        for name, (kind, options) in inputs
        if kind != "SIGMAS"
    }


def test_choices_are_those_that_run() -> None:
    choices = {
        (name, options["options"])
        for inputs in native.INPUTS.values()
        for name, (_, options) in inputs.items()
        if name in ("sampler_name", "scheduler")
    }
    assert ("sampler_name", tuple(SAMPLERS)) in choices
    assert choices <= {("sampler_name", tuple(SAMPLERS)), ("scheduler", tuple(SCHEDULERS))}


def test_noise_is_drawn_by_the_places_in_the_batch() -> None:
    latents = torch.zeros(2, 64, 5)
    (noise,) = call("RandomNoise", noise_seed=7)
    assert noise.seed == 7 and torch.equal(noise.generate_noise({"samples": latents}), prepare_noise(latents, 7))
    placed = noise.generate_noise({"samples": latents, "batch_index": [2, 0]})
    assert torch.equal(placed, prepare_noise(latents, 7, [2, 0]))
    (nothing,) = call("DisableNoise")
    assert nothing.seed == 0 and not nothing.generate_noise({"samples": latents + 1}).any()


@pytest.mark.parametrize(
    ("class_id", "name"),
    [
        ("SamplerEulerAncestral", "euler_ancestral"),
        ("SamplerEulerAncestralCFGPP", "euler_ancestral_cfg_pp"),
        ("SamplerLMS", "lms"),
        ("SamplerDPMPP_2S_Ancestral", "dpmpp_2s_ancestral"),
        ("SamplerDPMPP_SDE", "dpmpp_sde_gpu"),
        ("SamplerDPMPP_2M_SDE", "dpmpp_2m_sde_gpu"),
        ("SamplerDPMPP_3M_SDE", "dpmpp_3m_sde_gpu"),
        ("SamplerDPMAdaptative", "dpm_adaptive"),
        ("SamplerER_SDE", "er_sde"),
        ("SamplerSEEDS2", "seeds_2"),
    ],
)
def test_a_sampler_node_with_its_defaults_is_the_sampler_of_that_name(class_id: str, name: str) -> None:
    (by_node,), (by_name,) = call(class_id, **defaults(class_id)), call("KSamplerSelect", sampler_name=name)
    assert by_node.name == by_name.name == name
    latent = torch.zeros(1, CHANNELS, FRAMES)
    noise = prepare_noise(latent, 3)
    results = [
        sample(guide(predict, 2.0), noise, latent, SIGMAS, sampler, levels=FlowLevels(), seed=3).latents
        for sampler in (by_node, by_name)
    ]
    assert torch.equal(*results)


def test_noise_of_the_cpu_is_drawn_there() -> None:
    for class_id in ("SamplerDPMPP_SDE", "SamplerDPMPP_2M_SDE", "SamplerDPMPP_3M_SDE"):
        (chosen,) = call(class_id, **{**defaults(class_id), "noise_device": "cpu"})
        assert chosen.name == class_id.removeprefix("Sampler").lower()


def test_levels_by_formula_end_at_0() -> None:
    values = {"steps": 5, "sigma_max": 0.9, "sigma_min": 0.1}
    assert torch.equal(call("KarrasScheduler", **values, rho=3.0)[0], curves.karras(5, 0.1, 0.9, 3.0))
    assert torch.equal(call("ExponentialScheduler", **values)[0], curves.exponential(5, 0.1, 0.9))
    assert torch.equal(call("PolyexponentialScheduler", **values, rho=1.0)[0], curves.polyexponential(5, 0.1, 0.9))
    assert torch.equal(call("LaplaceScheduler", **values, mu=0.1, beta=0.4)[0], curves.laplace(5, 0.1, 0.9, 0.1, 0.4))
    assert call("VPScheduler", **defaults("VPScheduler"))[0][-1] == 0


def test_levels_are_edited() -> None:
    (levels,) = call("ManualSigmas", sigmas="1, 0.6, 0.2, 0")
    torch.testing.assert_close(levels, torch.tensor([1.0, 0.6, 0.2, 0.0]))
    high, low = call("SplitSigmas", sigmas=levels, step=1)
    assert torch.equal(high, levels[:2]) and torch.equal(low, levels[1:])
    assert len(call("SplitSigmasDenoise", sigmas=levels, denoise=0.34)[1]) == 2
    assert call("FlipSigmas", sigmas=levels)[0][-1] == 1
    assert call("SetFirstSigma", sigmas=levels, sigma=0.5)[0][0] == 0.5
    extended = {"steps": 2, "start_at_sigma": -1.0, "end_at_sigma": 0.0, "spacing": "linear"}
    assert len(call("ExtendIntermediateSigmas", sigmas=levels, **extended)[0]) == 7


class Guider:
    """Calls the toy song as a guider of this pack is called."""

    inner_model = SimpleNamespace(model_sampling=SimpleNamespace(shift=3.0))

    def __call__(self, x: Tensor, sigma: Tensor, model_options: Any = None, seed: int | None = None) -> Tensor:
        assert sigma.shape == (len(x),)
        level = sigma.reshape(-1, 1, 1)
        return x - predict(x, level, False)[0] * level


@pytest.mark.parametrize("name", ["euler", "dpmpp_2m", "uni_pc", "dpmpp_sde", "heun"])
def test_a_native_sampler_runs_with_another_guider(name: str) -> None:
    (sampler,) = call("KSamplerSelect", sampler_name=name)
    latent, steps = source(2), []
    noise = prepare_noise(latent, 5)
    extra = {"model_options": {}, "seed": 5}
    result = sampler.sample(Guider(), SIGMAS, extra, lambda *step: steps.append(step), noise, latent, half_mask())
    expected = sample(
        guide(predict, 1.0), noise, latent, SIGMAS, sampler, levels=FlowLevels(), seed=5, mask=half_mask()
    )
    torch.testing.assert_close(result, expected.latents)
    assert [(index, total) for index, _, _, total in steps] == [(0, 3), (1, 3), (2, 3)]


def test_another_guiders_mask_may_change_with_the_level() -> None:
    (sampler,) = call("KSamplerSelect", sampler_name="euler")
    latent = source(1)
    noise = prepare_noise(latent, 5)
    options = {"denoise_mask_function": lambda sigma, mask, extra_options: torch.ones_like(mask)}
    masked = sampler.sample(Guider(), SIGMAS, {"model_options": options}, None, noise, latent, half_mask())
    free = sampler.sample(Guider(), SIGMAS, {"model_options": {}}, None, noise, latent)
    torch.testing.assert_close(masked, free)


def test_cfg_pp_is_refused_with_another_guider() -> None:
    (sampler,) = call("KSamplerSelect", sampler_name="euler_cfg_pp")
    latent = source(1)
    with pytest.raises(ValueError, match="which this guider does not give: choose euler, or"):
        sampler.sample(Guider(), SIGMAS, {"model_options": {}}, None, latent, latent)

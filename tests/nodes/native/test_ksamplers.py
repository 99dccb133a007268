"""What ComfyUI's sampler nodes hand to the run: guider, noise, sampler and levels."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from native_nodes import call
from torch import Tensor

from acestep_xl.nodes.native import sampling
from acestep_xl.sampler.native.levels import FlowLevels
from acestep_xl.sampler.native.schedulers import ksampler_sigmas

LATENT = {"samples": torch.ones(1, 64, 5)}
LEVELS = FlowLevels(5.0)


class Guider(NamedTuple):
    """Stands for a guider over the network of a model."""

    model: str
    positive: str
    negative: str
    scale: float
    levels: FlowLevels = LEVELS


class Handed(NamedTuple):
    """The arguments of a run."""

    guider: Guider
    noise: Any
    sampler: Any
    sigmas: Tensor
    latent: dict[str, Tensor]

    @property
    def has_noise(self) -> bool:
        return bool(self.noise.generate_noise(self.latent).any())


@pytest.fixture(autouse=True)
def runs_are_what_they_are_handed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "NativeGuider", Guider)
    monkeypatch.setattr(sampling.sampling, "run", lambda *arguments: (Handed(*arguments), "denoised"))


def inputs(**others: Any) -> dict[str, Any]:
    return {"model": "m", "positive": "p", "negative": "n", "cfg": 2.5, "latent_image": LATENT, **others}


def ksampler(**others: Any) -> Handed:
    settings = {"seed": 7, "steps": 6, "sampler_name": "dpm_2", "scheduler": "karras", "denoise": 1.0}
    return call("KSampler", **inputs(**settings | others))[0]


def advanced(**others: Any) -> Handed:
    settings = {"add_noise": "enable", "noise_seed": 7, "steps": 6, "sampler_name": "euler", "scheduler": "simple"}
    part = {"start_at_step": 0, "end_at_step": 10000, "return_with_leftover_noise": "disable"}
    return call("KSamplerAdvanced", **inputs(**settings | part | others))[0]


@pytest.mark.parametrize("denoise", [1.0, 0.5])
def test_ksampler_takes_the_levels_of_the_model_and_its_own_noise(denoise: float) -> None:
    run = ksampler(denoise=denoise)
    assert run.guider == Guider("m", "p", "n", 2.5) and run.latent is LATENT
    assert run.sampler.name == "dpm_2" and run.noise.seed == 7 and run.has_noise
    assert torch.equal(run.sigmas, ksampler_sigmas(LEVELS, "karras", "dpm_2", 6, denoise)) and len(run.sigmas) == 7


@pytest.mark.parametrize("add_noise", ["enable", "disable"])
def test_ksampler_advanced_may_continue_a_noisy_latent(add_noise: str) -> None:
    run = advanced(add_noise=add_noise)
    assert run.noise.seed == 7 and run.has_noise == (add_noise == "enable")
    assert torch.equal(run.sigmas, ksampler_sigmas(LEVELS, "simple", "euler", 6, 1.0))


@pytest.mark.parametrize(("leftover", "last"), [("enable", 4), ("disable", 6)])
def test_ksampler_advanced_leaves_noise_only_if_told_to(leftover: str, last: int) -> None:
    run = advanced(start_at_step=2, end_at_step=4, return_with_leftover_noise=leftover)
    whole = ksampler_sigmas(LEVELS, "simple", "euler", 6, 1.0)
    assert torch.equal(run.sigmas, whole[[2, 3, last]])


@pytest.mark.parametrize("add_noise", [True, False])
def test_sampler_custom_runs_what_is_connected(add_noise: bool) -> None:
    connected = {"sampler": "s", "sigmas": "levels", "add_noise": add_noise, "noise_seed": 3}
    run, denoised = call("SamplerCustom", **inputs(**connected))
    assert run.guider == Guider("m", "p", "n", 2.5) and (run.sampler, run.sigmas) == ("s", "levels")
    assert run.noise.seed == 3 and run.has_noise == add_noise and denoised == "denoised"


def test_sampler_custom_advanced_runs_what_is_connected() -> None:
    connected = {"noise": "noise", "guider": "guider", "sampler": "s", "sigmas": "levels", "latent_image": LATENT}
    run, denoised = call("SamplerCustomAdvanced", **connected)
    assert tuple(run) == ("guider", "noise", "s", "levels", LATENT) and denoised == "denoised"

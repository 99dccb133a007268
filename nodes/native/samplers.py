"""ComfyUI's nodes: initial noise, and samplers with their options."""

from __future__ import annotations

from typing import Any

from ...parameters import native
from ...sampler.native.noise import LatentNoise
from ...sampler.native.sampler_table import find_problem
from .chosen_sampler import ChosenSampler


class RandomNoise:
    """Noise from a seed."""

    FUNCTION = "make"
    RETURN_TYPES = ("NOISE",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("RandomNoise")

    def make(self, noise_seed: int) -> tuple[LatentNoise]:
        return (LatentNoise(noise_seed),)


class DisableNoise:
    """No noise, for latents that hold noise already."""

    FUNCTION = "make"
    RETURN_TYPES = ("NOISE",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("DisableNoise")

    def make(self) -> tuple[LatentNoise]:
        return (LatentNoise(0, is_empty=True),)


class KSamplerSelect:
    """A sampler with its own options."""

    FUNCTION = "select"
    RETURN_TYPES = ("SAMPLER",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("KSamplerSelect")

    @classmethod
    def VALIDATE_INPUTS(cls, sampler_name: str | None) -> bool | str:
        return sampler_name is None or find_problem(sampler_name) or True

    def select(self, sampler_name: str) -> tuple[ChosenSampler]:
        return (ChosenSampler(sampler_name),)


class SamplerEulerAncestral:
    """Euler with fresh noise."""

    FUNCTION = "select"
    RETURN_TYPES = ("SAMPLER",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SamplerEulerAncestral")

    def select(self, eta: float, s_noise: float) -> tuple[ChosenSampler]:
        return (ChosenSampler("euler_ancestral", {"eta": eta, "s_noise": s_noise}),)


class SamplerEulerAncestralCFGPP:
    """Euler with fresh noise and CFG++."""

    FUNCTION = "select"
    RETURN_TYPES = ("SAMPLER",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SamplerEulerAncestralCFGPP")

    def select(self, eta: float, s_noise: float) -> tuple[ChosenSampler]:
        return (ChosenSampler("euler_ancestral_cfg_pp", {"eta": eta, "s_noise": s_noise}),)


class SamplerLMS:
    """Linear multistep of an order."""

    FUNCTION = "select"
    RETURN_TYPES = ("SAMPLER",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SamplerLMS")

    def select(self, order: int) -> tuple[ChosenSampler]:
        return (ChosenSampler("lms", {"order": order}),)


class SamplerDPMPP_2S_Ancestral:  # noqa: N801 (ComfyUI's name)
    """DPM-Solver++(2S) with fresh noise."""

    FUNCTION = "select"
    RETURN_TYPES = ("SAMPLER",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SamplerDPMPP_2S_Ancestral")

    def select(self, eta: float, s_noise: float) -> tuple[ChosenSampler]:
        return (ChosenSampler("dpmpp_2s_ancestral", {"eta": eta, "s_noise": s_noise}),)


class SamplerDPMAdaptative:
    """DPM-Solver with steps of adaptive length."""

    FUNCTION = "select"
    RETURN_TYPES = ("SAMPLER",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SamplerDPMAdaptative")

    def select(
        self,
        order: int,
        rtol: float,
        atol: float,
        h_init: float,
        pcoeff: float,
        icoeff: float,
        dcoeff: float,
        accept_safety: float,
        eta: float,
        s_noise: float,
    ) -> tuple[ChosenSampler]:
        gains = {"pcoeff": pcoeff, "icoeff": icoeff, "dcoeff": dcoeff}
        steps = {"order": order, "rtol": rtol, "atol": atol, "h_init": h_init, "accept_safety": accept_safety}
        return (ChosenSampler("dpm_adaptive", {**steps, **gains, "eta": eta, "s_noise": s_noise}),)


class SamplerER_SDE:  # noqa: N801 (ComfyUI's name)
    """Extended reverse-time SDE."""

    FUNCTION = "select"
    RETURN_TYPES = ("SAMPLER",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SamplerER_SDE")

    def select(self, solver_type: str, max_stage: int, eta: float, s_noise: float) -> tuple[ChosenSampler]:
        options = {"solver_type": solver_type, "max_stage": max_stage, "eta": eta, "s_noise": s_noise}
        return (ChosenSampler("er_sde", options),)


class SamplerSEEDS2:
    """SEEDS with two stages."""

    FUNCTION = "select"
    RETURN_TYPES = ("SAMPLER",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SamplerSEEDS2")

    def select(self, solver_type: str, eta: float, s_noise: float, r: float) -> tuple[ChosenSampler]:
        return (ChosenSampler("seeds_2", {"solver_type": solver_type, "eta": eta, "s_noise": s_noise, "r": r}),)

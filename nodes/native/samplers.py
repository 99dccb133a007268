"""ComfyUI's nodes: initial noise, and samplers with their options."""

from __future__ import annotations

from typing import Any

from ...parameters import native
from ...pipeline.native.sampler import NativeSampler
from ...sampler.native.noise import LatentNoise
from ...sampler.native.sampler_table import find_problem


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

    def select(self, sampler_name: str) -> tuple[NativeSampler]:
        return (NativeSampler(sampler_name),)


class SamplerEulerAncestral:
    """Euler with fresh noise."""

    FUNCTION = "select"
    RETURN_TYPES = ("SAMPLER",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SamplerEulerAncestral")

    def select(self, eta: float, s_noise: float) -> tuple[NativeSampler]:
        return (NativeSampler("euler_ancestral", {"eta": eta, "s_noise": s_noise}),)


class SamplerEulerAncestralCFGPP:
    """Euler with fresh noise and CFG++."""

    FUNCTION = "select"
    RETURN_TYPES = ("SAMPLER",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SamplerEulerAncestralCFGPP")

    def select(self, eta: float, s_noise: float) -> tuple[NativeSampler]:
        return (NativeSampler("euler_ancestral_cfg_pp", {"eta": eta, "s_noise": s_noise}),)


class SamplerLMS:
    """Linear multistep of an order."""

    FUNCTION = "select"
    RETURN_TYPES = ("SAMPLER",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SamplerLMS")

    def select(self, order: int) -> tuple[NativeSampler]:
        return (NativeSampler("lms", {"order": order}),)


class SamplerDPMPP2SAncestral:
    """DPM-Solver++(2S) with fresh noise."""

    FUNCTION = "select"
    RETURN_TYPES = ("SAMPLER",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SamplerDPMPP_2S_Ancestral")

    def select(self, eta: float, s_noise: float) -> tuple[NativeSampler]:
        return (NativeSampler("dpmpp_2s_ancestral", {"eta": eta, "s_noise": s_noise}),)


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
    ) -> tuple[NativeSampler]:
        gains = {"pcoeff": pcoeff, "icoeff": icoeff, "dcoeff": dcoeff}
        steps = {"order": order, "rtol": rtol, "atol": atol, "h_init": h_init, "accept_safety": accept_safety}
        return (NativeSampler("dpm_adaptive", {**steps, **gains, "eta": eta, "s_noise": s_noise}),)


class SamplerERSDE:
    """Extended reverse-time SDE."""

    FUNCTION = "select"
    RETURN_TYPES = ("SAMPLER",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SamplerER_SDE")

    def select(self, solver_type: str, max_stage: int, eta: float, s_noise: float) -> tuple[NativeSampler]:
        options = {"solver_type": solver_type, "max_stage": max_stage, "eta": eta, "s_noise": s_noise}
        return (NativeSampler("er_sde", options),)


class SamplerSEEDS2:
    """SEEDS with two stages."""

    FUNCTION = "select"
    RETURN_TYPES = ("SAMPLER",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SamplerSEEDS2")

    def select(self, solver_type: str, eta: float, s_noise: float, r: float) -> tuple[NativeSampler]:
        return (NativeSampler("seeds_2", {"solver_type": solver_type, "eta": eta, "s_noise": s_noise, "r": r}),)

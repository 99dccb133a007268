"""ComfyUI's nodes: SDE samplers with their options. noise_device: gpu draws on the device of the latents."""

from __future__ import annotations

from typing import Any

from ...parameters import native
from ...pipeline.native.sampler import NativeSampler
from ...sampler.native.sampler_table import find_problem


class SamplerDPMPPSDE:
    """DPM-Solver++ SDE with two evaluations per step."""

    FUNCTION = "select"
    RETURN_TYPES = ("SAMPLER",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SamplerDPMPP_SDE")

    @classmethod
    def VALIDATE_INPUTS(cls) -> bool | str:
        return find_problem("dpmpp_sde") or True

    def select(self, eta: float, s_noise: float, r: float, noise_device: str) -> tuple[NativeSampler]:
        return (NativeSampler(_named("dpmpp_sde", noise_device), {"eta": eta, "s_noise": s_noise, "r": r}),)


class SamplerDPMPP2MSDE:
    """DPM-Solver++(2M) SDE."""

    FUNCTION = "select"
    RETURN_TYPES = ("SAMPLER",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SamplerDPMPP_2M_SDE")

    @classmethod
    def VALIDATE_INPUTS(cls) -> bool | str:
        return find_problem("dpmpp_2m_sde") or True

    def select(self, solver_type: str, eta: float, s_noise: float, noise_device: str) -> tuple[NativeSampler]:
        options = {"solver_type": solver_type, "eta": eta, "s_noise": s_noise}
        return (NativeSampler(_named("dpmpp_2m_sde", noise_device), options),)


class SamplerDPMPP3MSDE:
    """DPM-Solver++(3M) SDE."""

    FUNCTION = "select"
    RETURN_TYPES = ("SAMPLER",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SamplerDPMPP_3M_SDE")

    @classmethod
    def VALIDATE_INPUTS(cls) -> bool | str:
        return find_problem("dpmpp_3m_sde") or True

    def select(self, eta: float, s_noise: float, noise_device: str) -> tuple[NativeSampler]:
        return (NativeSampler(_named("dpmpp_3m_sde", noise_device), {"eta": eta, "s_noise": s_noise}),)


def _named(name: str, noise_device: str) -> str:
    return name if noise_device == "cpu" else f"{name}_gpu"

"""ComfyUI's nodes: noise levels that need no model, and edits of noise levels."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...parameters import native
from ...sampler.native import curves
from ...sampler.native import sigmas as edits


class KarrasScheduler:
    """Levels whose root of order rho is evenly spaced."""

    FUNCTION = "make"
    RETURN_TYPES = ("SIGMAS",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("KarrasScheduler")

    def make(self, steps: int, sigma_max: float, sigma_min: float, rho: float) -> tuple[Tensor]:
        return (curves.karras(steps, sigma_min, sigma_max, rho),)


class ExponentialScheduler:
    """Levels evenly spaced in their logarithm."""

    FUNCTION = "make"
    RETURN_TYPES = ("SIGMAS",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("ExponentialScheduler")

    def make(self, steps: int, sigma_max: float, sigma_min: float) -> tuple[Tensor]:
        return (curves.exponential(steps, sigma_min, sigma_max),)


class PolyexponentialScheduler:
    """Levels spaced in their logarithm as a power rho."""

    FUNCTION = "make"
    RETURN_TYPES = ("SIGMAS",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("PolyexponentialScheduler")

    def make(self, steps: int, sigma_max: float, sigma_min: float, rho: float) -> tuple[Tensor]:
        return (curves.polyexponential(steps, sigma_min, sigma_max, rho),)


class LaplaceScheduler:
    """Levels at quantiles of a Laplace distribution."""

    FUNCTION = "make"
    RETURN_TYPES = ("SIGMAS",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("LaplaceScheduler")

    def make(self, steps: int, sigma_max: float, sigma_min: float, mu: float, beta: float) -> tuple[Tensor]:
        return (curves.laplace(steps, sigma_min, sigma_max, mu, beta),)


class VPScheduler:
    """Levels of the variance-preserving SDE."""

    FUNCTION = "make"
    RETURN_TYPES = ("SIGMAS",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("VPScheduler")

    def make(self, steps: int, beta_d: float, beta_min: float, eps_s: float) -> tuple[Tensor]:
        return (curves.variance_preserving(steps, beta_d, beta_min, eps_s),)


class ManualSigmas:
    """Levels as they are typed."""

    FUNCTION = "make"
    RETURN_TYPES = ("SIGMAS",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("ManualSigmas")

    def make(self, sigmas: str) -> tuple[Tensor]:
        return (edits.parse(sigmas),)


class SplitSigmas:
    """The levels before a step and from it on."""

    FUNCTION = "split"
    RETURN_TYPES = ("SIGMAS", "SIGMAS")
    RETURN_NAMES = ("high_sigmas", "low_sigmas")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SplitSigmas")

    def split(self, sigmas: Tensor, step: int) -> tuple[Tensor, Tensor]:
        return edits.split(sigmas, step)


class SplitSigmasDenoise:
    """The levels before the last steps and those of the last steps."""

    FUNCTION = "split"
    RETURN_TYPES = ("SIGMAS", "SIGMAS")
    RETURN_NAMES = ("high_sigmas", "low_sigmas")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SplitSigmasDenoise")

    def split(self, sigmas: Tensor, denoise: float) -> tuple[Tensor, Tensor]:
        return edits.split_denoise(sigmas, denoise)


class FlipSigmas:
    """The levels in reverse, from clean to noise."""

    FUNCTION = "flip"
    RETURN_TYPES = ("SIGMAS",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("FlipSigmas")

    def flip(self, sigmas: Tensor) -> tuple[Tensor]:
        return (edits.flip(sigmas),)


class SetFirstSigma:
    """The levels with another first one."""

    FUNCTION = "set"
    RETURN_TYPES = ("SIGMAS",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SetFirstSigma")

    def set(self, sigmas: Tensor, sigma: float) -> tuple[Tensor]:
        return (edits.set_first(sigmas, sigma),)


class ExtendIntermediateSigmas:
    """The levels with further ones between two bounds."""

    FUNCTION = "extend"
    RETURN_TYPES = ("SIGMAS",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("ExtendIntermediateSigmas")

    def extend(
        self, sigmas: Tensor, steps: int, start_at_sigma: float, end_at_sigma: float, spacing: str
    ) -> tuple[Tensor]:
        return (edits.extend(sigmas, steps, start_at_sigma, end_at_sigma, spacing),)

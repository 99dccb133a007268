"""ComfyUI's nodes: noise levels of a MODEL, and a sampler that depends on them."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...parameters import native
from ...pipeline.native.guider import levels_of
from ...pipeline.native.sampler import NativeSampler
from ...sampler.native.schedulers import beta_sampling, sd_turbo


class BetaSamplingScheduler:
    """Levels at quantiles of a beta distribution."""

    FUNCTION = "schedule"
    RETURN_TYPES = ("SIGMAS",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("BetaSamplingScheduler")

    def schedule(self, model: Any, steps: int, alpha: float, beta: float) -> tuple[Tensor]:
        return (beta_sampling(levels_of(model), steps, alpha, beta),)


class SDTurboScheduler:
    """Tenths of the time, as SD Turbo was trained."""

    FUNCTION = "schedule"
    RETURN_TYPES = ("SIGMAS",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SDTurboScheduler")

    def schedule(self, model: Any, steps: int, denoise: float) -> tuple[Tensor]:
        return (sd_turbo(levels_of(model), steps, denoise),)


class SamplingPercentToSigma:
    """The level after a fraction of the time."""

    FUNCTION = "convert"
    RETURN_TYPES = ("FLOAT",)
    RETURN_NAMES = ("sigma_value",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SamplingPercentToSigma")

    def convert(self, model: Any, sampling_percent: float, return_actual_sigma: bool) -> tuple[float]:
        levels = levels_of(model)
        if return_actual_sigma and sampling_percent in (0.0, 1.0):
            return (float(levels.table()[-1 if sampling_percent == 0 else 0]),)
        return (levels.percent_to_sigma(sampling_percent),)


class SamplerSASolver:
    """SA-Solver with fresh noise between two fractions of the model's time."""

    FUNCTION = "select"
    RETURN_TYPES = ("SAMPLER",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("SamplerSASolver")

    def select(
        self,
        model: Any,
        eta: float,
        sde_start_percent: float,
        sde_end_percent: float,
        s_noise: float,
        predictor_order: int,
        corrector_order: int,
        use_pece: bool,
        simple_order_2: bool,
    ) -> tuple[NativeSampler]:
        levels = levels_of(model)
        noise = {
            "eta": eta,
            "s_noise": s_noise,
            "sde_start_sigma": levels.percent_to_sigma(sde_start_percent),
            "sde_end_sigma": levels.percent_to_sigma(sde_end_percent),
        }
        orders = {"predictor_order": predictor_order, "corrector_order": corrector_order}
        switches = {"use_pece": use_pece, "simple_order_2": simple_order_2}
        return (NativeSampler("sa_solver", {**noise, **orders, **switches}),)

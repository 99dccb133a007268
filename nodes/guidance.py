"""Node: guidance."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

from .. import parameters
from ..host import current_host
from ..pipeline import conditioning
from ..pipeline.advice.checks import advice_on
from ..pipeline.advice.guidance_advice import GuidanceSettings
from ..pipeline.conditioning import Conditioning
from ..pipeline.guider import Guider
from ..pipeline.input_checks import settings_problem
from ..pipeline.model_socket import network_of
from ..sampler.guidance import PARAMETER_NAMES, Guidance


class GuiderNode:
    """Combines model and prompt, and sets guidance."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = (
        "Sets how closely the music follows the prompt, and during which part of the run. Without a negative prompt "
        "it uses the model's learned null condition, as in training."
    )
    FUNCTION = "make"
    RETURN_TYPES = ("GUIDER",)
    RETURN_NAMES = ("guider",)
    OUTPUT_TOOLTIPS = ("For the sampler.",)
    SEARCH_ALIASES: ClassVar = ["ace step cfg", "apg", "adg", "guidance"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": ("MODEL", {"tooltip": "ACE-Step 1.5, from this pack's loader or ComfyUI's, also with LoRA."}),
                "positive": ("CONDITIONING", {"tooltip": "What to generate."}),
                "type": parameters.widget("guidance_type"),
                "scale": parameters.widget("guidance_scale"),
                "start": parameters.widget("guidance_start"),
                "end": parameters.widget("guidance_end"),
                "momentum": parameters.widget("apg_momentum"),
                "norm_threshold": parameters.widget("apg_norm_threshold"),
                "eta": parameters.widget("apg_eta"),
                "angle_clip": parameters.widget("adg_angle_clip"),
                "adg_variant": parameters.widget("adg_variant"),
                "negative_weight": parameters.widget("negative_weight"),
            },
            "optional": {
                "negative": ("CONDITIONING", {"tooltip": "What to steer away from. Unconnected: the null condition."}),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, start: float | None, end: float | None) -> bool | str:
        """A linked value arrives as None."""
        defaults = {field: parameters.get(name).default for field, name in PARAMETER_NAMES.items()}
        names = {name: PARAMETER_NAMES[name] for name in ("start", "end")}
        return settings_problem(partial(Guidance, **defaults), {"start": start, "end": end}, names)

    def make(
        self,
        model: Any,
        positive: Conditioning,
        type: str,
        scale: float,
        start: float,
        end: float,
        momentum: float,
        norm_threshold: float,
        eta: float,
        angle_clip: float,
        adg_variant: str,
        negative_weight: float,
        negative: Conditioning | None = None,
    ) -> tuple[Guider]:
        guidance = Guidance(type, scale, start, end, momentum, norm_threshold, eta, angle_clip, adg_variant)
        against = None if negative is None else conditioning.read(negative, "negative")
        has_negative = against is not None and not all(against.empty)
        network = network_of(model)
        settings = GuidanceSettings(network.training_kind, network.name, scale, has_negative, negative_weight)
        current_host().advise(advice_on("guidance", settings))
        return (Guider(model, conditioning.read(positive, "positive"), against, guidance, negative_weight),)

"""Nodes: what changes the guided velocity on its way. Each takes a guider and returns one that does it too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from .. import parameters
from ..host import current_host
from ..pipeline.guider import Guider
from ..sampler.guidance import ScaleCurve
from ..sampler.modifiers import GuidanceRescale, Modifier, NormClamp, VelocityEma, Wavelet

GUIDER = ("GUIDER", {"tooltip": "From the guidance node, or from another of these nodes."})
OUT = ("For the sampler, or for another of these nodes.",)


def _with(guider: Guider, modifier: Modifier) -> Guider:
    current_host().advise([] if modifier.WARNING is None else [modifier.WARNING])
    return replace(guider, modifiers=(*guider.modifiers, modifier))


class Curve:
    """Moves the guidance scale over the run."""

    CATEGORY = "audio/ACE-Step XL/modifiers"
    DESCRIPTION = "Guidance from its scale at the interval's start to another at its end."
    FUNCTION = "make"
    RETURN_TYPES = ("GUIDER",)
    RETURN_NAMES = ("guider",)
    OUTPUT_TOOLTIPS = OUT
    SEARCH_ALIASES: ClassVar = ["guidance schedule", "cfg curve", "dynamic cfg"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "guider": GUIDER,
                "curve": parameters.widget("guidance_curve"),
                "end_scale": parameters.widget("guidance_end_scale"),
            }
        }

    def make(self, guider: Guider, curve: str, end_scale: float) -> tuple[Guider]:
        return (replace(guider, guidance=replace(guider.guidance, curve=ScaleCurve(curve, end_scale))),)


class NormClampNode:
    """Limits the length of the velocity."""

    CATEGORY = "audio/ACE-Step XL/modifiers"
    DESCRIPTION = "Limits the velocity to a multiple of the latent's length, against overshooting guidance."
    FUNCTION = "make"
    RETURN_TYPES = ("GUIDER",)
    RETURN_NAMES = ("guider",)
    OUTPUT_TOOLTIPS = OUT
    SEARCH_ALIASES: ClassVar = ["velocity norm", "clamp"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"guider": GUIDER, "threshold": parameters.widget("norm_clamp_threshold")}}

    def make(self, guider: Guider, threshold: float) -> tuple[Guider]:
        return (_with(guider, NormClamp(threshold)),)


class EmaNode:
    """Smooths the velocity over the steps."""

    CATEGORY = "audio/ACE-Step XL/modifiers"
    DESCRIPTION = "Mixes a share of the last step's velocity into this one's."
    FUNCTION = "make"
    RETURN_TYPES = ("GUIDER",)
    RETURN_NAMES = ("guider",)
    OUTPUT_TOOLTIPS = OUT
    SEARCH_ALIASES: ClassVar = ["velocity ema", "smooth"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"guider": GUIDER, "factor": parameters.widget("velocity_ema_factor")}}

    def make(self, guider: Guider, factor: float) -> tuple[Guider]:
        return (_with(guider, VelocityEma(factor)),)


class RescaleNode:
    """Brings the spread of the guided estimate back."""

    CATEGORY = "audio/ACE-Step XL/modifiers"
    DESCRIPTION = "Guidance rescale: against the harsh, loud sound of plain CFG at large scales."
    FUNCTION = "make"
    RETURN_TYPES = ("GUIDER",)
    RETURN_NAMES = ("guider",)
    OUTPUT_TOOLTIPS = OUT
    SEARCH_ALIASES: ClassVar = ["rescale cfg", "cfg rescale"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"guider": GUIDER, "factor": parameters.widget("guidance_rescale")}}

    def make(self, guider: Guider, factor: float) -> tuple[Guider]:
        return (_with(guider, GuidanceRescale(factor)),)


class WaveletNode:
    """Wavelet correction."""

    CATEGORY = "audio/ACE-Step XL/modifiers"
    DESCRIPTION = "DCW, as official turbo runs use it. Not for SFT and base checkpoints at many steps: it ruins them."
    FUNCTION = "make"
    RETURN_TYPES = ("GUIDER",)
    RETURN_NAMES = ("guider",)
    OUTPUT_TOOLTIPS = OUT
    SEARCH_ALIASES: ClassVar = ["dcw", "wavelet"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        names = {"mode": "wavelet_mode", "low": "wavelet_low", "high": "wavelet_high"}
        return {"required": {"guider": GUIDER, **{key: parameters.widget(name) for key, name in names.items()}}}

    def make(self, guider: Guider, mode: str, low: float, high: float) -> tuple[Guider]:
        return (_with(guider, Wavelet(mode, low, high)),)

"""Nodes: modifiers of the guided velocity. Each takes a guider and returns one with the modifier added."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from .. import parameters
from ..host import current_host
from ..pipeline.guider import Guider
from ..sampler.guidance import ScaleCurve
from ..sampler.modifiers import GuidanceRescale, Modifier, NormClamp, VelocityEma, Wavelet

GUIDER = ("GUIDER", {"tooltip": "From the guidance node or another modifier."})


def _with(guider: Guider, modifier: Modifier) -> Guider:
    current_host().advise([] if modifier.WARNING is None else [modifier.WARNING])
    return replace(guider, modifiers=(*guider.modifiers, modifier))


class ModifierNode:
    """What the modifier nodes have in common."""

    CATEGORY = "audio/ACE-Step XL/modifiers"
    FUNCTION = "make"
    RETURN_TYPES = ("GUIDER",)
    RETURN_NAMES = ("guider",)
    OUTPUT_TOOLTIPS = ("For the sampler or another modifier.",)


class GuidanceCurveNode(ModifierNode):
    """Changes the guidance scale over the run."""

    DESCRIPTION = "Moves the guidance scale from its value at the start of the interval to another at the end."
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


class NormClampNode(ModifierNode):
    """Limits the norm of the velocity."""

    DESCRIPTION = "Limits the norm of the velocity to a multiple of the latent's, against overshooting guidance."
    SEARCH_ALIASES: ClassVar = ["velocity norm", "clamp"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"guider": GUIDER, "threshold": parameters.widget("norm_clamp_threshold")}}

    def make(self, guider: Guider, threshold: float) -> tuple[Guider]:
        return (_with(guider, NormClamp(threshold)),)


class VelocityEmaNode(ModifierNode):
    """Smooths the velocity over the steps."""

    DESCRIPTION = "Mixes part of the previous step's velocity into the current one."
    SEARCH_ALIASES: ClassVar = ["velocity ema", "smooth"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"guider": GUIDER, "factor": parameters.widget("velocity_ema_factor")}}

    def make(self, guider: Guider, factor: float) -> tuple[Guider]:
        return (_with(guider, VelocityEma(factor)),)


class GuidanceRescaleNode(ModifierNode):
    """Rescales the guided estimate."""

    DESCRIPTION = "Rescales the guided estimate, against the harsh, loud sound of plain CFG at high scales."
    SEARCH_ALIASES: ClassVar = ["rescale cfg", "cfg rescale"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"guider": GUIDER, "factor": parameters.widget("guidance_rescale")}}

    def make(self, guider: Guider, factor: float) -> tuple[Guider]:
        return (_with(guider, GuidanceRescale(factor)),)


class WaveletNode(ModifierNode):
    """Wavelet correction."""

    DESCRIPTION = (
        "Wavelet correction (DCW), as in official turbo inference. Not for SFT and base checkpoints at many steps: "
        "it ruins the song."
    )
    SEARCH_ALIASES: ClassVar = ["dcw", "wavelet"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        names = {"mode": "wavelet_mode", "low": "wavelet_low", "high": "wavelet_high"}
        return {"required": {"guider": GUIDER, **{key: parameters.widget(name) for key, name in names.items()}}}

    def make(self, guider: Guider, mode: str, low: float, high: float) -> tuple[Guider]:
        return (_with(guider, Wavelet(mode, low, high)),)

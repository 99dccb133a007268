"""Node: speed and memory, traded against fidelity or compile time."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import parameters
from ..host import current_host
from ..model import compiled
from ..model.linear import quantise
from ..pipeline import model_socket
from ..pipeline.input_checks import settings_problem
from ..sampler.validation import find_problem


class Speed:
    """Returns a network that runs faster or takes less memory; the input network is unchanged."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = (
        "8-bit weights, torch.compile and a step cache for this branch's model. All off by default; other branches "
        "keep the unmodified model."
    )
    FUNCTION = "make"
    RETURN_TYPES = ("MODEL",)
    RETURN_NAMES = ("model",)
    OUTPUT_TOOLTIPS = ("The network with these settings, for the guider.",)
    SEARCH_ALIASES: ClassVar = ["ace step fast", "quantise", "int8", "fp8", "torch compile", "teacache", "low vram"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": ("MODEL", {"tooltip": "ACE-Step 1.5, from this pack's loader or ComfyUI's."}),
                "weights": parameters.widget("weights"),
                "compile": parameters.widget("compile"),
                "step_cache": parameters.widget("step_cache"),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, weights: str | None, compile: str | None) -> bool | str:
        """A linked value arrives as None."""
        values = {"weights": weights, "compile": compile}
        return settings_problem(_check, values, {name: name for name in values})

    def make(self, model: Any, weights: str, compile: str, step_cache: float) -> tuple[Any]:
        _check(weights=weights, compile=compile)
        return (model_socket.adapt(model, weights, compile, step_cache),)


def _check(*, weights: str, compile: str) -> None:
    """Raise ValueError for settings that the device does not have."""
    device = current_host().compute_device()
    for name, value in (("weights", weights), ("compile", compile)):
        if problem := find_problem(name, name, value):
            raise ValueError(problem)
    if weights != quantise.AS_LOADED:
        quantise.check(weights, device)
    compiled.check(compile, device)

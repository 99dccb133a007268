"""Node: speed and memory. A copy of the network that trades fidelity, time to compile or memory."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import host, parameters
from ..model import compiled, quantise
from ..model.network import AceStep

# What a step cache keeps of each song: what the first layer and what the others added, under as many as three
# conditions, and the numbers of one comparison.
CACHED = 2 * 3 + 2


class Speed:
    """Makes a network that runs faster or takes less memory; the given one stays as it is."""

    CATEGORY = "audio/ACE-Step XL"
    DESCRIPTION = (
        "8-bit weights, torch.compile and a step cache for the model of this branch. Everything is off until chosen; "
        "other branches keep the model as it is."
    )
    FUNCTION = "make"
    RETURN_TYPES = ("ACESTEP_MODEL",)
    RETURN_NAMES = ("model",)
    OUTPUT_TOOLTIPS = ("The network with these settings, for the guider.",)
    SEARCH_ALIASES: ClassVar = ["ace step fast", "quantise", "int8", "fp8", "torch compile", "teacache", "low vram"]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "model": ("ACESTEP_MODEL", {"tooltip": "From the loader."}),
                "weights": parameters.widget("weights"),
                "compile": parameters.widget("compile"),
                "step_cache": parameters.widget("step_cache"),
            }
        }

    def make(self, model: AceStep, weights: str, compile: str, step_cache: float) -> tuple[AceStep]:
        place = host.current()
        device = place.compute_device()
        if weights != quantise.AS_LOADED:
            quantise.check(weights, device)
        compiled.check(compile, device)
        # A copy of what lies on a card just now would keep that memory for itself.
        place.at_rest(model)
        network = quantise.copy_of(model, weights)
        compiled.compile_layers(network, compile)
        network.step_cache = step_cache
        return (network,)


def memory(network: AceStep, songs: int, frames: int) -> int:
    """Bytes that a run of a network made here needs beside the weights, in addition to what every run needs."""
    config, item = network.config, network.null_condition_emb.dtype.itemsize
    tokens = -(-frames // config.patch_size) * songs
    cached = CACHED * tokens * config.decoder.hidden * max(item, 2) if network.step_cache else 0
    layers = [layer for _, layer in quantise.linear_layers(network) if isinstance(layer, quantise.QuantisedLinear)]
    # A weight in full while it is used, or the 8-bit rows of what is multiplied with it and their sums in float32.
    full = max((layer.weight.numel() * layer.dtype.itemsize for layer in layers if not layer.dynamic), default=0)
    wide = max((5 * layer.in_features + 8 * layer.out_features for layer in layers if layer.dynamic), default=0)
    return cached + full + 2 * tokens * wide

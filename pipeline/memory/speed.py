"""Memory that 8-bit weights and the step cache need during a run, beside what every run needs."""

from __future__ import annotations

from ...model import quantise
from ...model.network import AceStep

# What a step cache keeps of each song: the change by the first layer and by the others, for up to three conditions,
# and two tensors of a comparison.
CACHED_TENSORS = 2 * 3 + 2


def memory(network: AceStep, songs: int, frames: int) -> int:
    """Bytes beside the weights; 0 for a network as it was loaded."""
    config, item = network.config, network.null_condition_emb.dtype.itemsize
    tokens = -(-frames // config.patch_size) * songs
    cache = CACHED_TENSORS * tokens * config.decoder.hidden * max(item, 2) if network.step_cache else 0
    layers = [layer for _, layer in quantise.linear_layers(network) if isinstance(layer, quantise.QuantisedLinear)]
    # A weight in full precision while it is used, or the 8-bit rows of its input and their float32 sums.
    weight = max((layer.weight.numel() * layer.dtype.itemsize for layer in layers if not layer.dynamic), default=0)
    per_token = max((5 * layer.in_features + 8 * layer.out_features for layer in layers if layer.dynamic), default=0)
    return cache + weight + 2 * tokens * per_token

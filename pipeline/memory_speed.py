"""Memory that 8-bit weights and the step cache need during a run."""

from __future__ import annotations

from ..model import quantise
from ..model.network import AceStep

# What a step cache keeps of each song: what the first layer and what the others added, under as many as three
# conditions, and the numbers of one comparison.
CACHED = 2 * 3 + 2


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

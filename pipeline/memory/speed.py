"""Memory that quantised weights and the step cache need during a run, beside what every run needs."""

from __future__ import annotations

from torch import nn

from ...model.linear import quantise
from ...model.linear.frozen import FrozenLinear
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
    # The 8-bit rows of an input and their float32 sums.
    per_token = max((5 * layer.in_features + 8 * layer.out_features for layer in layers if layer.dynamic), default=0)
    return cache + unpacking(network) + 2 * tokens * per_token


def unpacking(network: nn.Module) -> int:
    """Bytes of the largest weight that is in full precision only while it is used; 0 if none is."""
    return max((layer.work_bytes() for layer in network.modules() if isinstance(layer, FrozenLinear)), default=0)

"""The shapes that an adapter is held against: those of the published sizes, and of a network at hand."""

from __future__ import annotations

from functools import cache

import torch

from ..config import Config, StackWidth
from ..network import AceStep

Shape = tuple[int, ...]

GROUPS = {
    "self_attention": ("decoder.layers.", ".self_attn"),
    "cross_attention": ("decoder.layers.", ".cross_attn"),
    "mlp": ("decoder.layers.", ".mlp"),
    "condition_embedder": ("decoder.condition_embedder", ""),
    "time_embedding": ("decoder.time_embed", ""),
    "encoder": ("encoder.", ""),
}
OTHER = "other"


def group_of(parameter: str) -> str:
    """The group whose strength a parameter takes: a key of GROUPS, or "other"."""
    matches = (name for name, (start, inside) in GROUPS.items() if parameter.startswith(start) and inside in parameter)
    return next(matches, OTHER)


@cache
def published_sizes() -> dict[str, Config]:
    """The two published networks (their config.json), which differ in the width of the transformer."""
    encoder = StackWidth(hidden=2048, intermediate=6144, heads=16, kv_heads=8, head_dim=128)
    xl = StackWidth(hidden=2560, intermediate=9728, heads=32, kv_heads=8, head_dim=128)
    return {
        name: Config(width, encoder, layers, lyric_layers=8, timbre_layers=4, pooler_layers=2, text_dim=1024)
        for name, width, layers in (("XL", xl, 32), ("2B", encoder, 24))
    }


@cache
def parameter_shapes(config: Config) -> dict[str, Shape]:
    """The shape of every parameter of a network, whatever format its weights are stored in."""
    with torch.device("meta"):
        return {name: tuple(value.shape) for name, value in AceStep(config).named_parameters()}

"""Checkpoint keys of the VAE: diffusers' and stable-audio's (ComfyUI's) names to ours, with weight norm folded."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import count, product

import torch
from torch import Tensor


def vae_state(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of `Oobleck` from a checkpoint in diffusers' or in stable-audio's (ComfyUI's) layout.

    Weight normalisation, under either of torch's key spellings, is folded in float32 and stored in the dtype of the
    checkpoint; folded weights are kept. Raises ValueError for a key that fits neither layout, for two tensors with one
    destination, and for half a weight normalisation.
    """
    modules: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, (module, leaf) in map_keys(tensors).items():
        if leaf in modules[module]:
            raise ValueError(f"VAE checkpoint key {key!r} is a second {leaf} of {module}")
        modules[module][leaf] = tensors[key].reshape(1, -1, 1) if leaf in ("alpha", "beta") else tensors[key]
    state = {}
    for module, parts in modules.items():
        state |= {f"{module}.{leaf}": tensor for leaf, tensor in parts.items() if leaf not in ("g", "v")}
        if "g" in parts or "v" in parts:
            state[f"{module}.weight"] = _fold(module, parts)
    return state


def _fold(module: str, parts: Mapping[str, Tensor]) -> Tensor:
    """Undo weight normalisation: g * v / |v|, with the norm over all dimensions but the first."""
    if parts.keys() & {"weight", "g", "v"} != {"g", "v"}:
        raise ValueError(f"{module} needs either weight or both weight_g and weight_v, not {', '.join(sorted(parts))}")
    g, v = parts["g"].float(), parts["v"].float()
    norm = torch.linalg.vector_norm(v, dim=tuple(range(1, v.ndim)), keepdim=True)
    return (v * (g / norm)).to(parts["v"].dtype)


def map_keys(keys: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Map each checkpoint key to our module and one of its tensors (weight, g, v, bias, alpha, beta)."""
    keys = list(keys)
    block_numbers = {int(match[2]) - (match[1] == "layers") for match in map(_IN_BLOCK.match, keys) if match}
    names = _module_names(blocks=next(i for i in count() if i not in block_numbers))
    ours, mapped = set(names.values()), {}
    for key in keys:
        module, leaf = key, ""
        if match := _LEAF.fullmatch(key):
            module, leaf = names.get(match[1], match[1]), _LEAVES[match[2]]
        if module not in ours:
            raise ValueError(
                f"VAE checkpoint key {key!r} fits neither diffusers' layout (decoder.block.0.conv_t1.weight_g) nor "
                "stable-audio's (decoder.layers.1.layers.1.weight_g); strip any prefix such as 'vae.' first"
            )
        mapped[key] = module, leaf
    return mapped


def _module_names(blocks: int) -> dict[str, str]:
    """Stable-audio's module names to diffusers' (ours), for a network with this many blocks."""
    names = {}
    for half, parts in _BLOCK_PARTS.items():
        ends = {0: "conv1", blocks + 1: "snake1", blocks + 2: "conv2"}
        names |= {f"{half}.layers.{i}": f"{half}.{name}" for i, name in ends.items()}
        for i, (j, part) in product(range(blocks), enumerate(parts)):
            theirs, ours = f"{half}.layers.{i + 1}.layers.{j}", f"{half}.block.{i}.{part}"
            if part.startswith("res_unit"):
                names |= {f"{theirs}.layers.{k}": f"{ours}.{name}" for k, name in enumerate(_UNIT_PARTS)}
            else:
                names[theirs] = ours
    return names


_UNIT_PARTS = ("snake1", "conv1", "snake2", "conv2")
_BLOCK_PARTS = {
    "encoder": ("res_unit1", "res_unit2", "res_unit3", "snake1", "conv1"),
    "decoder": ("snake1", "conv_t1", "res_unit1", "res_unit2", "res_unit3"),
}
_LEAVES = {
    "weight": "weight",
    "bias": "bias",
    "alpha": "alpha",
    "beta": "beta",
    "weight_g": "g",
    "weight_v": "v",
    "parametrizations.weight.original0": "g",
    "parametrizations.weight.original1": "v",
}
_LEAF = re.compile(rf"(.+?)\.({'|'.join(map(re.escape, _LEAVES))})")
_IN_BLOCK = re.compile(r"(?:en|de)coder\.(block|layers)\.(\d+)\.(?:layers|res_unit|snake|conv)")

"""ComfyUI's nodes: latents joined, cut and mixed.

Audio latents are ``[b 64 t]``, where ComfyUI's x is time, y the channels and t the songs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...parameters import native

Latent = dict[str, Any]
AXES = {"x": -1, "y": -2, "t": -3}


class LatentConcat:
    """One latent after the other; with a minus before the axis, the second comes first."""

    FUNCTION = "join"
    RETURN_TYPES = ("LATENT",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("LatentConcat")

    def join(self, samples1: Latent, samples2: Latent, dim: str) -> tuple[Latent]:
        first, second = samples1["samples"], _for_songs(samples2["samples"], len(samples1["samples"]))
        axis = AXES[dim[-1]]
        if first.ndim != second.ndim or _without(first, axis) != _without(second, axis):
            raise ValueError(
                f"samples1 is {list(first.shape)}, samples2 {list(second.shape)}: joined along {dim[-1]}, all other "
                "sizes must be equal"
            )
        pair = (second, first) if dim.startswith("-") else (first, second)
        return ({**samples1, "samples": torch.cat(pair, dim=axis)},)


class LatentCut:
    """A part of a latent. A negative index counts from the end."""

    FUNCTION = "cut"
    RETURN_TYPES = ("LATENT",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("LatentCut")

    def cut(self, samples: Latent, dim: str, index: int, amount: int) -> tuple[Latent]:
        latents = samples["samples"]
        size = latents.shape[AXES[dim]]
        start = min(index, size - 1) if index >= 0 else max(index, -size) + size
        part = torch.narrow(latents, AXES[dim], start, min(amount, size - start))
        return ({**samples, "samples": part},)


class _OfTwo:
    """What the nodes share that combine two latents without a setting."""

    FUNCTION = "combine"
    RETURN_TYPES = ("LATENT",)
    operation: Callable[[Tensor, Tensor], Tensor]

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types(cls.__name__)

    def combine(self, samples1: Latent, samples2: Latent) -> tuple[Latent]:
        return _combine(samples1, samples2, self.operation)


class LatentAdd(_OfTwo):
    """The sum of two latents."""

    operation = staticmethod(torch.add)


class LatentSubtract(_OfTwo):
    """The difference of two latents."""

    operation = staticmethod(torch.sub)


class LatentMultiply:
    """A latent times a number."""

    FUNCTION = "multiply"
    RETURN_TYPES = ("LATENT",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("LatentMultiply")

    def multiply(self, samples: Latent, multiplier: float) -> tuple[Latent]:
        return ({**samples, "samples": samples["samples"] * multiplier},)


class LatentBlend:
    """A weighted mean of two latents; blend_factor is the weight of the first."""

    FUNCTION = "blend"
    RETURN_TYPES = ("LATENT",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("LatentBlend")

    def blend(self, samples1: Latent, samples2: Latent, blend_factor: float) -> tuple[Latent]:
        return _combine(samples1, samples2, lambda a, b: a * blend_factor + b * (1 - blend_factor))


def _without(latents: Tensor, axis: int) -> list[int]:
    """The sizes along all other axes. axis: from the end."""
    return [size for n, size in enumerate(latents.shape) if n != latents.ndim + axis]


def _combine(samples1: Latent, samples2: Latent, operation: Callable[[Tensor, Tensor], Tensor]) -> tuple[Latent]:
    first = samples1["samples"]
    second = _for_songs(samples2["samples"], len(first))
    if first.shape != second.shape:
        raise ValueError(
            f"samples1 is {list(first.shape)}, samples2 {list(second.shape)}: give both the same length and channels"
        )
    return ({**samples1, "samples": operation(first, second)},)


def _for_songs(latents: Tensor, songs: int) -> Tensor:
    """As many songs, from the first on again where there are fewer."""
    return latents[torch.arange(songs) % len(latents)]

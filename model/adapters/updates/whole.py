"""Updates without factors: a full difference, and a value that takes the parameter's place.

Sources: ComfyUI, comfy/lora.py (`diff`, `diff_b`, `set_weight`); LyCORIS, lycoris/modules/full.py and norms.py; PEFT's
`modules_to_save` and trained biases.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import forms
from .update import Fixed, Sides


@dataclass(frozen=True)
class Difference:
    """``W' = W + scale * difference``, in the shape of the parameter."""

    difference: Tensor
    scale: float = 1.0
    kind = "full difference"
    rank = None
    is_additive = True

    @property
    def sides(self) -> Sides:
        return _sides(self.difference)

    @property
    def is_zero(self) -> bool:
        return not self.difference.any()

    def tensors(self) -> list[Tensor]:
        return [self.difference]

    def change(self, weight: Tensor) -> Tensor:
        return self.scale * self.difference.to(weight.device, torch.float32).view(weight.shape)

    def form(self, weight: Tensor, dtype: torch.dtype) -> forms.Term:
        return forms.Dense(self.change(weight).to(dtype))


@dataclass(frozen=True)
class Replacement(Fixed):
    """``W' = replacement`` at every strength but 0: what it replaces may have nothing to do with it."""

    replacement: Tensor
    kind = "set weight"
    rank = None
    is_additive = False
    is_zero = False

    @property
    def sides(self) -> Sides:
        return _sides(self.replacement)

    def tensors(self) -> list[Tensor]:
        return [self.replacement]

    def value(self, weight: Tensor) -> Tensor:
        return self.replacement.to(weight.device, torch.float32).view(weight.shape)

    def change(self, weight: Tensor) -> Tensor:
        return self.value(weight) - weight

    def form(self, weight: Tensor, dtype: torch.dtype) -> forms.Form:
        return forms.Replacement(self.value(weight).to(dtype))


def _sides(values: Tensor) -> Sides:
    return Sides(values.shape[0], values[0].numel()) if values.ndim else Sides(1, 1)

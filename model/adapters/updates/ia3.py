"""IA3: factors on the rows of a weight, or on its columns.

Sources: LyCORIS, lycoris/modules/ia3.py; PEFT, peft/tuners/ia3/layer.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import forms
from .update import Sides


@dataclass(frozen=True)
class IA3:
    """``W' = W (1 + gain)``. gain: as many numbers as rows, or as input channels with ``on_input``."""

    gain: Tensor
    on_input: bool
    kind = "IA3"
    rank = None
    is_additive = False

    @property
    def sides(self) -> Sides:
        size = self.gain.numel()
        return Sides(None, size) if self.on_input else Sides(size, None)

    @property
    def is_zero(self) -> bool:
        return not self.gain.any()

    def tensors(self) -> list[Tensor]:
        return [self.gain]

    def change(self, weight: Tensor) -> Tensor:
        shape = [1] * weight.ndim
        shape[1 if self.on_input and weight.ndim > 1 else 0] = -1
        return weight * self.gain.to(weight.device, torch.float32).view(shape)

    def form(self, weight: Tensor, dtype: torch.dtype) -> forms.Form:
        gain = self.gain.to(weight.device, dtype).flatten()
        return forms.InputGain(gain) if self.on_input else forms.OutputGain(gain)

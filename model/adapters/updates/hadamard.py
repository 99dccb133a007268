"""LoHa: ``W' = W + c (w1_a @ w1_b) * (w2_a @ w2_b)``.

Sources: LyCORIS, lycoris/modules/loha.py (its forward; `merge_to` of 4.1.3 applies c twice); PEFT, peft/tuners/loha.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import forms
from .kronecker import OfTwoFactors
from .update import Sides


@dataclass(frozen=True)
class Hadamard(OfTwoFactors):
    """Two products of the weight's size, multiplied element by element."""

    kind = "LoHa"

    @property
    def rank(self) -> int | None:
        return self.w1.rank

    @property
    def sides(self) -> Sides:
        return Sides(self.w1.rows, self.w1.columns)

    def change(self, weight: Tensor) -> Tensor:
        w1, w2 = self.w1.value(weight.device), self.w2.value(weight.device)
        return self.scale * (w1 * w2).view(weight.shape)

    def form(self, weight: Tensor, dtype: torch.dtype) -> forms.Term:
        return forms.Dense(self.change(weight).to(dtype))

"""GLoRA: ``W' = W + c (W @ a1 @ a2 + b1 @ b2)``. Source: LyCORIS, lycoris/modules/glora.py."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import forms
from .low_rank import LowRank
from .update import Sides


@dataclass(frozen=True)
class GLoRA:
    """inner: ``a1 @ a2``, ``[in in]``; outer: ``b1 @ b2``, of the weight's shape; both scaled by c."""

    inner: LowRank
    outer: LowRank
    kind = "GLoRA"
    is_additive = False

    @property
    def rank(self) -> int:
        return self.inner.rank

    @property
    def sides(self) -> Sides:
        return self.outer.sides

    @property
    def is_zero(self) -> bool:
        return self.inner.is_zero and self.outer.is_zero

    def tensors(self) -> list[Tensor]:
        return self.inner.tensors() + self.outer.tensors()

    def change(self, weight: Tensor) -> Tensor:
        a1, a2 = (factor.to(weight.device, torch.float32).flatten(1) for factor in (self.inner.up, self.inner.down))
        mixed = torch.einsum("oi...,ir,rj->oj...", weight, a1, a2)
        return self.inner.scale * mixed + self.outer.change(weight)

    def form(self, weight: Tensor, dtype: torch.dtype) -> forms.Form:
        inner, outer = self.inner.form(weight, dtype), self.outer.form(weight, dtype)
        assert isinstance(inner, forms.LowRank) and isinstance(outer, forms.LowRank)
        return forms.InputLowRank(inner, outer)

"""LoKr: ``W' = W + c kron(w1, w2)``, each factor whole or a product.

Sources: LyCORIS, lycoris/modules/lokr.py (its forward; `merge_to` of 4.1.3 applies c twice); PEFT, peft/tuners/lokr.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from . import forms
from .update import Sides, all_zero


@dataclass(frozen=True)
class Factor:
    """One side of the product: ``whole``, or ``a @ b``, or with a core ``t`` ``[r r k]``, a ``[r p]``, b ``[r q]``."""

    whole: Tensor | None = None
    a: Tensor | None = None
    b: Tensor | None = None
    core: Tensor | None = None

    @property
    def rank(self) -> int | None:
        return None if self.b is None else self.b.shape[0]

    @property
    def rows(self) -> int:
        if self.whole is not None:
            return self.whole.shape[0]
        assert self.a is not None
        return self.a.shape[1 if self.core is not None else 0]

    @property
    def columns(self) -> int:
        """Numbers in a row, kernel included."""
        if self.whole is not None:
            return self.whole[0].numel()
        assert self.b is not None
        return self.b.shape[1] * (1 if self.core is None else math.prod(self.core.shape[2:]))

    def tensors(self) -> list[Tensor]:
        return [tensor for tensor in (self.whole, self.a, self.b, self.core) if tensor is not None]

    def value(self, device: torch.device) -> Tensor:
        """The factor in float32, with the axes of the kernel if it has any."""
        whole, a, b, core = (
            None if tensor is None else tensor.to(device, torch.float32)
            for tensor in (self.whole, self.a, self.b, self.core)
        )
        if whole is not None:
            return whole
        assert a is not None and b is not None
        return a @ b if core is None else torch.einsum("ij...,ip,jr->pr...", core, a, b)


@dataclass(frozen=True)
class OfTwoFactors:
    """What the updates share that are made of two factors. scale: c."""

    w1: Factor
    w2: Factor
    scale: float
    is_additive = True

    @property
    def is_zero(self) -> bool:
        return all_zero(*self.tensors())

    def tensors(self) -> list[Tensor]:
        return self.w1.tensors() + self.w2.tensors()


@dataclass(frozen=True)
class Kronecker(OfTwoFactors):
    """w1: ``[a b]``; w2: ``[c d]``, for convolutions ``[c d k]`` or ``[c d*k]``."""

    kind = "LoKr"

    @property
    def rank(self) -> int | None:
        return self.w2.rank or self.w1.rank

    @property
    def sides(self) -> Sides:
        return Sides(self.w1.rows * self.w2.rows, self.w1.columns * self.w2.columns)

    def change(self, weight: Tensor) -> Tensor:
        w1, w2 = self.w1.value(weight.device), self.w2.value(weight.device)
        w2 = w2.reshape(w2.shape[0], -1, *weight.shape[2:])
        w1 = w1.view(*w1.shape, *[1] * (w2.ndim - 2))
        return self.scale * torch.kron(w1.contiguous(), w2.contiguous()).view(weight.shape)

    def form(self, weight: Tensor, dtype: torch.dtype) -> forms.Term:
        w1, w2 = (factor.value(weight.device).to(dtype).contiguous() for factor in (self.w1, self.w2))
        return forms.Kronecker(w1, w2, torch.tensor(self.scale, device=weight.device))

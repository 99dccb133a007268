"""LoRA and LoCon: ``W' = W + c (up @ down)``, for convolutions also through a core tensor.

Sources: PEFT, peft/tuners/lora/layer.py; LyCORIS, lycoris/modules/locon.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from . import forms
from .update import Sides, all_zero


@dataclass(frozen=True)
class LowRank:
    """down: ``[r in]`` or ``[r in k]``; up: ``[out r]`` or ``[out r 1]``; scale: c.

    mid: ``[r r k]``, the core of a convolution's factors (tucker); down is then ``[r in 1]``.
    """

    down: Tensor
    up: Tensor
    scale: float
    mid: Tensor | None = None
    is_additive = True

    @property
    def kind(self) -> str:
        return "LoRA" if self.down.ndim == 2 else "LoCon"

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    @property
    def sides(self) -> Sides:
        kernel = 1 if self.mid is None else math.prod(self.mid.shape[2:])
        return Sides(self.up.shape[0], self.down[0].numel() * kernel)

    @property
    def is_zero(self) -> bool:
        return all_zero(self.up, self.down, self.mid)

    def tensors(self) -> list[Tensor]:
        return [tensor for tensor in (self.down, self.up, self.mid) if tensor is not None]

    def change(self, weight: Tensor) -> Tensor:
        up, down = (factor.to(weight.device, torch.float32).flatten(1) for factor in (self.up, self.down))
        if self.mid is None:
            product = up @ down
        else:
            product = torch.einsum("oi,ij...,jn->on...", up, self.mid.to(up), down)
        return self.scale * product.view(weight.shape)

    def form(self, weight: Tensor, dtype: torch.dtype) -> forms.Term:
        if self.mid is not None:
            return forms.Dense(self.change(weight).to(dtype))
        down, up = (factor.to(weight.device, dtype).flatten(1) for factor in (self.down, self.up))
        return forms.LowRank(down.contiguous(), up.T.contiguous(), torch.tensor(self.scale, device=weight.device))

"""DoRA of any additive update: ``W' = m (W + d) / |W + d|``, the norm over each row or each column.

At strength s the weight is ``W + s (W' - W)``: W at 0, and on a straight line between. PEFT and LyCORIS have other
meanings, and neither is W at 0. Sources: PEFT, peft/tuners/lora/dora.py; LyCORIS, lycoris/functional/general.py. Both
take the norm of the updated weight; ComfyUI 0.20.1 takes that of W, which is not what was trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from . import forms
from .update import Sides, Update


@dataclass(frozen=True)
class Decomposed:
    """magnitude: m, ``[out]``, ``[out 1]`` or ``[1 in]``; epsilon: what the producer adds to the norm."""

    direction: Update
    magnitude: Tensor
    epsilon: float = 0.0
    is_additive = False
    is_zero = False

    @property
    def kind(self) -> str:
        return f"DoRA of {self.direction.kind}"

    @property
    def rank(self) -> int | None:
        return self.direction.rank

    @property
    def sides(self) -> Sides:
        return self.direction.sides

    @property
    def by_columns(self) -> bool:
        """Whether the magnitudes are those of input channels."""
        shape = self.magnitude.shape
        return len(shape) > 1 and shape[0] == 1 and shape[1] > 1

    def tensors(self) -> Sequence[Tensor]:
        return [*self.direction.tensors(), self.magnitude]

    def change(self, weight: Tensor) -> Tensor:
        updated = weight + self.direction.change(weight)
        return (1 + self._gain(updated)) * updated - weight

    def form(self, weight: Tensor, dtype: torch.dtype) -> forms.Form:
        gain = self._gain(weight + self.direction.change(weight)).flatten().to(dtype)
        term = self.direction.form(weight, dtype)
        assert isinstance(term, forms.Term)
        return forms.InputGain(gain, term) if self.by_columns else forms.OutputGain(gain, term)

    def _gain(self, updated: Tensor) -> Tensor:
        """``m / |W + d| - 1`` over the axis of m, in a shape that broadcasts; -1 for rows or columns of zeros."""
        axis = 1 if self.by_columns else 0
        others = [i for i in range(updated.ndim) if i != axis]
        norm = torch.linalg.vector_norm(updated, dim=others, keepdim=True) + self.epsilon
        factor = self.magnitude.to(updated.device, torch.float32).view(norm.shape) / norm
        return torch.where(norm > self.epsilon, factor, 0) - 1

"""What every kind of update has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from .forms import Form

Shape = tuple[int, ...]


class Sides(NamedTuple):
    """The sizes an update was made for: rows of the weight, and numbers in a row; None where it takes any."""

    rows: int | None
    columns: int | None


class Update(Protocol):
    """One adapter's update of one parameter; its tensors have the dtype of their file."""

    @property
    def kind(self) -> str:
        """The name people know it by, such as "LoRA"."""
        ...

    @property
    def rank(self) -> int | None:
        """Of the factors, None for kinds without any."""
        ...

    @property
    def sides(self) -> Sides: ...

    @property
    def is_zero(self) -> bool:
        """Whether it changes nothing at any strength."""
        ...

    @property
    def is_additive(self) -> bool:
        """Whether its change is the same for every weight."""
        ...

    def tensors(self) -> Sequence[Tensor]:
        """All its tensors."""
        ...

    def change(self, weight: Tensor) -> Tensor:
        """``W' - W`` at strength 1, in float32 and in the shape of the weight (float32)."""
        ...

    def form(self, weight: Tensor, dtype: torch.dtype) -> Form:
        """How it acts on a linear layer with this weight ``[n k]`` that computes in ``dtype``."""
        ...


def merge(weight: Tensor, updates: Sequence[tuple[Update, float]]) -> Tensor:
    """A parameter with updates applied in order, each at a strength: ``W + s (W' - W)``, in float32.

    The result has the weight's shape; the caller rounds it, once. At strength 0 the weight's numbers stay as they are.
    """
    merged = weight.detach().float()
    for update, strength in updates:
        if isinstance(update, Fixed) and strength != 0:
            merged = update.value(merged)
        elif strength != 0:
            merged = merged + strength * update.change(merged)
    return merged


class Fixed(ABC):
    """Base of updates that are applied whole at any strength but 0."""

    @abstractmethod
    def value(self, weight: Tensor) -> Tensor:
        """``W'`` in float32, from the weight in float32."""


def all_zero(*tensors: Tensor | None) -> bool:
    """Whether one of these factors of a product is zero throughout."""
    return any(tensor is not None and not tensor.any() for tensor in tensors)

"""The golden adapters, and how results are compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from torch import Tensor

from acestep_xl.model.network import AceStep

# The velocity of a fixed latent by a network.
Velocity = Callable[[AceStep], Tensor]
FILES = Path(__file__).parents[1] / "golden" / "adapters" / "files"


class Write(Protocol):
    """Writes tensors and a header to a safetensors file; a PEFT config goes beside it."""

    def __call__(
        self,
        tensors: dict[str, Tensor],
        *,
        name: str = "my/adapter.safetensors",
        header: dict[str, str] | None = None,
        config: dict[str, object] | None = None,
    ) -> Path: ...


def relative(value: Tensor, expected: Tensor) -> float:
    """The norm of the difference over that of what is expected."""
    return float((value - expected).norm() / expected.norm())

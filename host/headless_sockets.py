"""What MODEL and CLIP sockets carry without ComfyUI."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .protocol import NATIVE_SHIFT, TextEncoding

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class HeadlessModel:
    """A MODEL: a network, and the shift that ComfyUI's schedulers read from it."""

    network: nn.Module
    shift: float = NATIVE_SHIFT


class HeadlessSockets:
    """Implements `protocol.Sockets`."""

    def make_model(self, network: nn.Module, like: Any = None) -> HeadlessModel:
        return HeadlessModel(network) if like is None else replace(like, network=network)

    def network_of(self, model: Any) -> nn.Module:
        if not isinstance(model, HeadlessModel):
            raise ValueError(f"model is a {type(model).__name__}: connect a node that loads ACE-Step 1.5")
        return model.network

    def foreign_network(self, model: Any) -> None:
        return None

    def replace_network(self, model: Any, network: nn.Module) -> HeadlessModel:
        return replace(model, network=network)

    def shift_of(self, model: Any) -> float | None:
        return None if model.shift == NATIVE_SHIFT else model.shift

    def sampling_patcher(self, model: Any) -> Any:
        raise RuntimeError("ComfyUI's own samplers run only in ComfyUI; connect this pack's solver node instead")

    def make_clip(self, encoder: TextEncoding) -> TextEncoding:
        return encoder

    def encoder_of(self, clip: Any) -> TextEncoding:
        return clip

    def is_patched(self, clip: Any) -> bool:
        return False

"""What MODEL and CLIP sockets carry inside ComfyUI. Imported only when ComfyUI runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.model_patcher  # pyright: ignore[reportMissingImports]  # ComfyUI cannot be installed
from torch import nn

from . import comfy_clip, comfy_model
from .protocol import ForeignNetwork, TextEncoding


class ComfySockets:
    """Implements `protocol.Sockets` with ComfyUI's own objects."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn

    def make_model(self, network: nn.Module, like: Any = None) -> comfy.model_patcher.ModelPatcher:
        return comfy_model.make_model(network, like)

    def network_of(self, model: Any) -> nn.Module | None:
        return comfy_model.network_of(model)

    def foreign_network(self, model: Any) -> ForeignNetwork | None:
        return comfy_model.foreign_network(model)

    def replace_network(self, model: Any, network: nn.Module) -> comfy.model_patcher.ModelPatcher:
        return comfy_model.replace_network(model, network)

    def set_shift(self, model: Any, shift: float) -> comfy.model_patcher.ModelPatcher:
        return comfy_model.set_shift(model, shift)

    def sampling_patcher(self, model: Any) -> comfy.model_patcher.ModelPatcher:
        return model

    def make_clip(self, encoder: TextEncoding) -> Any:
        return comfy_clip.make_clip(encoder, self._warn)

    def encoder_of(self, clip: Any) -> TextEncoding | nn.Module:
        return comfy_clip.encoder_of(clip)

    def is_patched(self, clip: Any) -> bool:
        return bool(clip.patcher.patches)

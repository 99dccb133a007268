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


class CONST:
    """The name by which ComfyUI marks a flow model's noise levels."""


@dataclass(frozen=True)
class FlowSampling(CONST):
    """The noise levels of a MODEL."""

    shift: float


@dataclass(frozen=True)
class SamplingModel:
    model_sampling: FlowSampling


@dataclass(frozen=True)
class SamplingPatcher:
    """As much of ComfyUI's patcher as samplers read."""

    model: SamplingModel


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

    def set_shift(self, model: Any, shift: float) -> HeadlessModel:
        return replace(model, shift=shift)

    def sampling_patcher(self, model: Any) -> SamplingPatcher:
        return SamplingPatcher(SamplingModel(FlowSampling(model.shift)))

    def make_clip(self, encoder: TextEncoding) -> TextEncoding:
        return encoder

    def encoder_of(self, clip: Any) -> TextEncoding:
        return clip

    def is_patched(self, clip: Any) -> bool:
        return False

"""ComfyUI's nodes: changes to a MODEL."""

from __future__ import annotations

from typing import Any

from ...host import current_host
from ...parameters import native
from ...pipeline import model_socket
from ...pipeline.native import loading


class ModelSamplingAuraFlow:
    """Sets the shift of the noise levels that schedulers read from a MODEL."""

    FUNCTION = "shift"
    RETURN_TYPES = ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("ModelSamplingAuraFlow")

    def shift(self, model: Any, shift: float) -> tuple[Any]:
        return (model_socket.with_shift(model, shift),)


class LoraLoaderModelOnly:
    """Applies an adapter to a network."""

    FUNCTION = "load"
    RETURN_TYPES = ("MODEL",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.with_files("LoraLoaderModelOnly", {"lora_name": loading.names(current_host(), "lora")})

    @classmethod
    def VALIDATE_INPUTS(cls, lora_name: str | None) -> bool | str:
        return loading.problem(current_host(), "lora", lora_name) or True

    def load(self, model: Any, lora_name: str, strength_model: float) -> tuple[Any]:
        return (loading.with_lora(model, lora_name, strength_model),)


class LoraLoader:
    """Applies an adapter to a network. Adapters of ACE-Step 1.5 leave the text encoder as it is."""

    FUNCTION = "load"
    RETURN_TYPES = ("MODEL", "CLIP")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.with_files("LoraLoader", {"lora_name": loading.names(current_host(), "lora")})

    @classmethod
    def VALIDATE_INPUTS(cls, lora_name: str | None) -> bool | str:
        return loading.problem(current_host(), "lora", lora_name) or True

    def load(
        self, model: Any, clip: Any, lora_name: str, strength_model: float, strength_clip: float
    ) -> tuple[Any, Any]:
        return loading.with_lora(model, lora_name, strength_model), clip

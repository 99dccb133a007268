"""ComfyUI's nodes: guidance, and the noise levels of a MODEL."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...parameters import native
from ...pipeline.conditioning import Conditioning
from ...pipeline.native.guider import NativeGuider, levels_of
from ...sampler.native.schedulers import basic_scheduler


class BasicScheduler:
    """The noise levels of a MODEL by a scheduler."""

    FUNCTION = "schedule"
    RETURN_TYPES = ("SIGMAS",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("BasicScheduler")

    def schedule(self, model: Any, scheduler: str, steps: int, denoise: float) -> tuple[Tensor]:
        return (basic_scheduler(levels_of(model), scheduler, steps, denoise),)


class CFGGuider:
    """Classifier-free guidance."""

    FUNCTION = "make"
    RETURN_TYPES = ("GUIDER",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("CFGGuider")

    def make(self, model: Any, positive: Conditioning, negative: Conditioning, cfg: float) -> tuple[NativeGuider]:
        return (NativeGuider(model, positive, negative, cfg),)


class BasicGuider:
    """The prompt without guidance."""

    FUNCTION = "make"
    RETURN_TYPES = ("GUIDER",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("BasicGuider")

    def make(self, model: Any, conditioning: Conditioning) -> tuple[NativeGuider]:
        return (NativeGuider(model, conditioning, None, 1.0),)

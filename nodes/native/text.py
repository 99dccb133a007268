"""ComfyUI's nodes: conditionings of ACE-Step 1.5."""

from __future__ import annotations

from typing import Any

from ...host import current_host
from ...model.prompt import Metadata
from ...parameters import native
from ...pipeline.conditioning import Conditioning
from ...pipeline.native import text


class TextEncodeAceStepAudio15:
    """Encodes caption, lyrics and metadata with ComfyUI's prompt."""

    FUNCTION = "encode"
    RETURN_TYPES = ("CONDITIONING",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types(native.TEXT_ENCODE)

    def encode(
        self,
        clip: Any,
        tags: str,
        lyrics: str,
        seed: int,
        bpm: int,
        duration: float,
        timesignature: str,
        language: str,
        keyscale: str,
        generate_audio_codes: bool,
        cfg_scale: float,
        temperature: float,
        top_p: float,
        top_k: int,
        min_p: float,
    ) -> tuple[Conditioning]:
        current_host().advise([text.NO_CODES] if generate_audio_codes else [])
        metadata = Metadata(bpm, timesignature, keyscale, duration)
        return (text.encode(clip, *text.native_texts(tags, lyrics, language, metadata)),)


class ConditioningZeroOut:
    """Makes a conditioning that stands for the null condition."""

    FUNCTION = "zero"
    RETURN_TYPES = ("CONDITIONING",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("ConditioningZeroOut")

    def zero(self, conditioning: Conditioning) -> tuple[Conditioning]:
        return (text.zeroed(conditioning),)


class ReferenceTimbreAudio:
    """Adds a timbre reference, which is also the source of the song."""

    FUNCTION = "add"
    RETURN_TYPES = ("CONDITIONING",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return native.input_types("ReferenceTimbreAudio")

    def add(self, conditioning: Conditioning, latent: dict[str, Any] | None = None) -> tuple[Conditioning]:
        return (conditioning if latent is None else text.with_reference(conditioning, latent),)

"""ComfyUI's text encode node: its prompt, and the conditioning it writes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...model.prompt import END, Metadata, caption_prompt, instruction, lyric_prompt
from ...model.text import TextEncoder
from .. import conditioning
from ..conditioning import Conditioning
from ..encoding import with_encoder

NO_CODES = (
    "audio codes are not generated: no planner runs here yet, so the song is made from caption and lyrics alone; "
    "switch generate_audio_codes off to run without this hint"
)


def encode(clip: Any, caption: str, lyrics: str) -> Conditioning:
    """The conditioning of the texts of `native_texts`. clip: a CLIP."""

    def work(encoder: TextEncoder) -> tuple[Tensor, Tensor]:
        states, embeddings = encoder.encode_native(encoder.tokenize(caption), encoder.tokenize(lyrics))
        return states.float().cpu(), embeddings.float().cpu()

    states, embeddings = with_encoder(clip, work)
    return [[states, {"pooled_output": None, conditioning.LYRICS: embeddings}]]


def native_texts(caption: str, lyrics: str, language: str, metadata: Metadata) -> tuple[str, str]:
    """The two texts as ComfyUI 0.20.1 writes them (comfy/text_encoders/ace15.py).

    The instruction is that of a cover, the caption loses blanks at its ends, the length is rounded up, and each text
    has one more end mark. Values that the network was not trained on, such as a bpm of 20, are written as they are.
    """
    seconds = None if metadata.duration is None else math.ceil(metadata.duration)
    prompt = caption_prompt(caption.strip(), replace(metadata, duration=seconds), instruction("cover"))
    return prompt + END, lyric_prompt(lyrics, language) + END


def zeroed(entries: Conditioning) -> Conditioning:
    """A conditioning with every tensor zero, which stands for the null condition (ConditioningZeroOut)."""

    def zero(extra: dict[str, Any]) -> dict[str, Any]:
        keys = [key for key in ("pooled_output", conditioning.LYRICS) if isinstance(extra.get(key), Tensor)]
        return {**extra, **{key: torch.zeros_like(extra[key]) for key in keys}}

    return [[torch.zeros_like(states), zero(extra)] for states, extra in entries]


def with_reference(entries: Conditioning, latent: dict[str, Any]) -> Conditioning:
    """A conditioning with one more timbre reference, the last of which ComfyUI's sampler reads."""
    return [
        [states, {**extra, conditioning.REFERENCES: [*extra.get(conditioning.REFERENCES, ()), latent["samples"]]}]
        for states, extra in entries
    ]

"""A conditioning as the network reads it under ComfyUI's own samplers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...model.silence import lengthen, published_silence
from .. import conditioning
from ..conditioning import Conditioning

CODED_FRAMES = 750  # of the timbre reference beside audio codes


def network_inputs(entries: Conditioning, name: str, songs: int, frames: int, device: torch.device) -> dict[str, Any]:
    """The arguments of `AceStep.forward` beside x and its level, on a device, for so many songs of so many frames.

    name: the socket's, for messages. Source: ComfyUI 0.20.1, comfy/model_base.py, ACEStep15.extra_conds.
    """
    prompt = conditioning.read(entries, name)
    if prompt.batch not in (1, songs):
        raise ValueError(f"{name} holds {prompt.batch} prompts for {songs} songs; give 1 or {songs}")
    references = entries[0][1].get(conditioning.REFERENCES)
    silence = lengthen(published_silence(), frames).T[None]
    reference, codes, is_cover = silence, None, False
    if references:
        reference, is_cover = references[-1][:, :, :frames].float(), True
    elif prompt.codes:
        codes, is_cover = torch.tensor(prompt.codes), None
        reference = reference[:, :, :CODED_FRAMES]
    missing = silence[:, :, reference.shape[2] :]
    reference = torch.cat([reference, missing.expand(len(reference), -1, -1)], dim=2)
    tensors = {
        "context": prompt.text.float(),
        "lyric_embed": prompt.lyrics.float(),
        "refer_audio": reference,
        "audio_codes": codes,
        "caption_mask": prompt.text_mask,
        "lyric_mask": prompt.lyrics_mask,
    }
    inputs: dict[str, Any] = {
        key: _for_batch(value, songs).to(device) for key, value in tensors.items() if value is not None
    }
    return {**inputs, "is_covers": is_cover, "replace_with_null_embeds": not bool(prompt.text.any())}


def _for_batch(value: Tensor, songs: int) -> Tensor:
    return value if len(value) == songs else value[:1].expand(songs, *value.shape[1:])

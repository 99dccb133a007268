"""CONDITIONING sockets: between ComfyUI's list of ``[tensor, dict]`` and what the network's encoder reads.

The keys are the ones ComfyUI's own ACE-Step 1.5 nodes write, so its text encode node and ours are interchangeable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..model import context
from ..model.condition import Condition
from ..model.network import AceStep
from ..model.text import TextStates

LYRICS = "conditioning_lyrics"
LYRICS_MASK = "conditioning_lyrics_mask"
CAPTION_MASK = "attention_mask"
REFERENCES = "reference_audio_timbre_latents"
CODES = "audio_codes"

Conditioning = list[list[Any]]


@dataclass(frozen=True)
class Prompted:
    """One CONDITIONING, checked. text: ``[b n d]``, lyrics: ``[b m d]`` with bool masks; references: ``[1 c t]`` each;
    codes: 5 Hz audio codes per item, as ComfyUI's language model writes them."""

    text: Tensor
    text_mask: Tensor
    lyrics: Tensor
    lyrics_mask: Tensor
    references: tuple[Tensor, ...]
    codes: tuple[tuple[int, ...], ...]

    @property
    def batch(self) -> int:
        return len(self.text)


def write(states: TextStates) -> Conditioning:
    """A CONDITIONING from encoded prompts, on the CPU. Masks are written only where something is padded."""
    extra: dict[str, Any] = {"pooled_output": None, LYRICS: states.lyrics.cpu()}
    if not bool(states.caption_mask.all()):
        extra[CAPTION_MASK] = states.caption_mask.cpu()
    if not bool(states.lyrics_mask.all()):
        extra[LYRICS_MASK] = states.lyrics_mask.cpu()
    return [[states.caption.cpu(), extra]]


def read(conditioning: Conditioning, name: str) -> Prompted:
    """Check a CONDITIONING that may come from any node; ``name`` is the socket's, for messages."""
    if len(conditioning) != 1:
        raise ValueError(
            f"{name} has {len(conditioning)} entries, expected 1: ACE-Step has one prompt per song, so combined or "
            "scheduled conditionings do not apply; connect one text encode node"
        )
    text, extra = conditioning[0]
    lyrics = extra.get(LYRICS)
    if lyrics is None:
        raise ValueError(f"{name} has no lyrics ({LYRICS}): it was not made by an ACE-Step 1.5 text encode node")
    masks = (extra.get(CAPTION_MASK), extra.get(LYRICS_MASK))
    return Prompted(
        text,
        _mask(masks[0], text),
        lyrics,
        _mask(masks[1], lyrics),
        tuple(extra.get(REFERENCES) or ()),
        tuple(tuple(item) for item in extra.get(CODES) or ()),
    )


def encode(network: AceStep, prompted: Prompted, device: torch.device) -> Condition:
    """The packed condition of a checked CONDITIONING; without a reference the timbre is that of silence."""
    if prompted.text.shape[-1] != network.config.text_dim:
        raise ValueError(
            f"the text encoder gives {prompted.text.shape[-1]} channels, this network reads {network.config.text_dim}: "
            "they are from different models; load the text encoder that belongs to the checkpoint"
        )
    references = (
        [network.silent_reference()]
        if not prompted.references
        else [reference(network, latents) for latents in prompted.references]
    )
    owners = [item for item in range(prompted.batch) for _ in references]
    with torch.no_grad():
        return network.encoder(
            prompted.text.to(device),
            prompted.text_mask.to(device),
            prompted.lyrics.to(device),
            prompted.lyrics_mask.to(device),
            torch.cat(references * prompted.batch).to(device),
            owners,
        )


def source_context(network: AceStep, prompted: Prompted, frames: int) -> Tensor:
    """The context of a run without source audio: silence, or what the prompt's audio codes tell. ``[b t 2c]``."""
    if not prompted.codes:
        return context.text_to_music(network, frames)
    return torch.cat([context.from_codes(network, item, frames) for item in prompted.codes])


def reference(network: AceStep, latents: Tensor) -> Tensor:
    """A timbre reference ``[1 c t]`` at the length the encoder was trained on, ``[1 t c]``.

    A longer one gives thirds of that length from its start, its middle and its end; a shorter one repeats. The official
    code draws the excerpts at random; these do not, so that a seed means the same song every time.
    """
    wanted, frames = network.config.timbre_frames, latents.transpose(1, 2)
    length = frames.shape[1]
    if length <= wanted:
        return frames.repeat(1, -(-wanted // length), 1)[:, :wanted]
    third = wanted // 3
    starts = (0, (length - third) // 2, length - (wanted - 2 * third))
    sizes = (third, third, wanted - 2 * third)
    return torch.cat([frames[:, start : start + size] for start, size in zip(starts, sizes, strict=True)], dim=1)


def _mask(mask: Tensor | None, states: Tensor) -> Tensor:
    if mask is None:
        return torch.ones(states.shape[:2], dtype=torch.bool)
    return mask.bool().expand(states.shape[:2])

"""The context of a run: per latent frame, the source latents and the mask of what is generated, ``[b t 2c]``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .network import AceStep


def join(source: Tensor, mask: Tensor) -> Tensor:
    """source: ``[b t c]``; mask: ``[b t 1]``, 1 where the model generates, 0 where it keeps the source."""
    return torch.cat([source, mask.to(source).expand_as(source)], dim=-1)


def text_to_music(network: AceStep, frames: int) -> Tensor:
    """No source: silence, and a mask of 1 everywhere. ``[1 t 2c]``."""
    source = network.silent(frames)[None]
    return join(source, torch.ones_like(source[..., :1]))


def cover(network: AceStep, source: Tensor) -> Tensor:
    """The source ``[b t c]`` after an FSQ encode and decode; the mask is 1 everywhere."""
    source = network.round_trip_codes(source)
    return join(source, torch.ones_like(source[..., :1]))


def repaint(network: AceStep, source: Tensor, mask: Tensor) -> Tensor:
    """A source ``[b t c]`` with the silence latent where the mask ``[b t 1]`` is 1, each frame at its own time."""
    silence = network.silent(source.shape[1]).to(source)
    return join(torch.where(mask > 0, silence, source), mask)


@torch.no_grad()
def from_codes(network: AceStep, codes: Sequence[int], frames: int) -> Tensor:
    """One song's 5 Hz audio codes as the source, ``[1 t 2c]``; beyond their end is silence."""
    device = network.null_condition_emb.device
    indices = torch.tensor(codes, dtype=torch.long, device=device)[None, :, None]
    decoded = network.detokenizer(network.tokenizer.quantizer.lookup(indices))[:, :frames]
    missing = network.silent(frames - decoded.shape[1])[None].to(decoded)
    source = torch.cat([decoded, missing], dim=1)
    return join(source, torch.ones_like(source[..., :1]))

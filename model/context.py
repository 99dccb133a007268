"""The context of a run: per latent frame, the source latents and the mask of what may change, ``[b t 2c]``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .network import AceStep


def join(source: Tensor, mask: Tensor) -> Tensor:
    """source: ``[b t c]``; mask: ``[b t 1]``, 1 where the model makes music, 0 where it keeps the source."""
    return torch.cat([source, mask.to(source).expand_as(source)], dim=-1)


def text_to_music(network: AceStep, frames: int) -> Tensor:
    """No source: silence everywhere, all of it to be made. ``[1 t 2c]``."""
    source = network.silent(frames)[None]
    return join(source, torch.ones_like(source[..., :1]))


def cover(network: AceStep, source: Tensor) -> Tensor:
    """A source ``[b t c]`` as its audio codes tell it, all of it to be made anew."""
    told = network.through_codes(source)
    return join(told, torch.ones_like(told[..., :1]))


def repaint(network: AceStep, source: Tensor, mask: Tensor) -> Tensor:
    """A source ``[b t c]`` with silence where the mask ``[b t 1]`` is 1; the silence keeps its place in time."""
    silence = network.silent(source.shape[1]).to(source)
    return join(torch.where(mask > 0, silence, source), mask)


@torch.no_grad()
def from_codes(network: AceStep, codes: Sequence[int], frames: int) -> Tensor:
    """5 Hz audio codes of one song as a source, ``[1 t 2c]``; what they do not cover is silence."""
    device = network.null_condition_emb.device
    indices = torch.tensor(codes, dtype=torch.long, device=device)[None, :, None]
    told = network.detokenizer(network.tokenizer.quantizer.lookup(indices))[:, :frames]
    missing = network.silent(frames - told.shape[1])[None].to(told)
    source = torch.cat([told, missing], dim=1)
    return join(source, torch.ones_like(source[..., :1]))
